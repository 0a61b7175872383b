/* mutant.h - mistakes that the tests must find. Each stands in the engine, mostly at one
 * place, as QP_MUTANT(NAME). In the library that is the constant false; the test no_mutants looks
 * that no text of it is in there. Built with -DQUIPU_MUTANTS=ON the environment's
 * QUIPU_MUTANT=NAME, or its number, makes one of them true, and tests/mutants sees to it that for
 * each some test turns red (docs/TESTING.md 7).
 *
 * A number is never given to another mistake, so new ones stand at the end of their group. Where a
 * race would be rare, a pause widens it. */
#ifndef QP_MUTANT_H
#define QP_MUTANT_H

#include <stdbool.h>

/* number, name, what is wrong then */
#define QP_MUTANTS(X)                                                                              \
    /* durability: environment, store, txn, place, open, lock, commit, merge */                    \
    X(1, NO_FLUSH, "LMDB runs with MDB_NOSYNC")                                                    \
    X(2, NO_META_FLUSH, "the meta page is not flushed, and sync is asked for")                     \
    X(3, ACK_EARLY, "a commit is acknowledged before its flush")                                   \
    X(4, ONE_FLUSH, "pages and meta page in one flush: the disk may take them in any order")       \
    X(5, NO_DIR_FLUSH, "creating a store flushes no directory")                                    \
    X(6, NO_SETTLE_HEIR, "who inherits the store lock does not settle the log")                    \
    X(7, NO_SETTLE_OPEN, "the sole opener does not settle the log")                                \
    X(8, NO_REWRITE, "settling flushes, and does not write the meta pages again")                  \
    X(9, NO_SETTLE_INDEX, "a merger that died is not settled for")                                 \
    X(10, NO_POISON, "a commit whose outcome is unknown does not poison")                          \
    X(11, POISON_UNSEEN, "a leader does not look whether the store is poisoned")                   \
    X(12, POISON_MERGED, "a merge does not look whether log or index are poisoned")                \
    X(13, UNKNOWN_UNDONE, "a failed flush counts as: nothing happened")                            \
    X(14, FAILED_TOLD_DONE, "what failed for the group is not told to each of it")                 \
    X(15, NAME_UNFLUSHED, "a sole opener leaves a creator's last flush undone")                    \
    /* open, close, processes: handle, files, open, store, txn, shared, commit */                  \
    X(20, FORK_UNSEEN, "a forked child is not told from its parent")                               \
    X(21, ALWAYS_ALONE, "every opener takes itself for the only one")                              \
    X(22, STRANGER_UNSEEN, "somebody else's LMDB is not noticed")                                  \
    X(23, CHAIN_UNSEEN, "the index of another history is believed")                                \
    X(24, LAST_COMMIT_UNSEEN, "an opener does not look for the commit of a writer that died")      \
    X(25, RESIZED_FATAL, "a map that another process enlarged is not followed")                    \
    X(26, GROW_UNDER_READERS, "the map is replaced while it is looked at")                         \
    X(27, DEAD_READERS, "the slots of dead readers are not cleared")                               \
    X(28, OWNER_DIED_UNSEEN, "the next owner of the store lock is not told that the last died")    \
    X(29, NO_HAND_OVER, "the store lock is not handed over")                                       \
    X(30, HAND_OVER_UNCOUNTED, "who gets the store lock does not count it")                        \
    X(31, REPLACED_UNSEEN, "a leader does not look whether the files were replaced")               \
    X(32, CLOSE_FORGETS, "a close does not commit what is asynchronous")                           \
    X(33, EXTEND_STALE, "zeros are written from where the file ended when last looked at")         \
    X(34, LAZY_UNDONE, "no room at a flush, and what a lazy handle wrote is not written again")    \
    /* read, tail, merge: tail, moment, merge, wait, commit, shared */                             \
    X(40, LOG_FIRST, "a moment looks at the log before the index")                                 \
    X(41, NO_CLIP, "the tail gives what the index has too")                                        \
    X(42, NO_CLIP_HEAD, "the tail gives what is newer than the snapshot")                          \
    X(43, NO_PINS, "segments are freed while they are read")                                       \
    X(44, FOLD_UNLOCKED, "two threads may fold the same events")                                   \
    X(45, PUBLISH_BLIND, "a leader adds to the tail what a reader has folded")                     \
    X(46, OPEN_MERGED, "a merge takes a segment that still grows")                                 \
    X(47, MERGE_AHEAD, "the index says that it has one event more than it has")                    \
    X(48, TAIL_IDS, "ids are not looked for in the tail")                                          \
    X(49, DAMAGE_UNSEEN, "appends go on although a damaged event may be anybody's")                \
    X(50, WAIT_LATE, "who waits reads the count of commits after it has looked")                   \
    X(51, LAZY_MERGED, "a merge takes what lazy handles have committed and nobody has flushed")    \
    X(52, LAZY_RECEIPT, "a receipt of sync speaks of what is not flushed")                         \
    X(53, COMMIT_UNCOUNTED, "a commit does not wake who waits for it")                             \
    X(54, WAIT_EVENTS, "who waits for any commit is told of those with events only")               \
    X(55, CALL_ONE_KIND, "who leaves the watch calls only those that wait for events")             \
    /* decide, apply: decide, overlay, pending, condition, apply, open */                          \
    X(61, GROUP_UNSEEN, "a batch does not see what the batches before it append")                  \
    X(62, OWN_UNSEEN, "a batch does not see its own earlier steps")                                \
    X(63, REFUSED_SEEN, "a batch sees what a refused one before it wanted to do")                  \
    X(64, GROUP_IDS, "a batch does not see the ids of the batches before it")                      \
    X(65, GAP, "positions have gaps")                                                              \
    X(66, ORDER_UNSEEN, "known events in another order count as sent again")                       \
    X(67, GROUP_CONDITION, "a query condition does not see the batches before")                    \
    X(68, TAIL_CONDITION, "a query condition does not see the tail")                               \
    X(69, CONDITION_LATE, "a query condition misses the first event after `after`")                \
    X(70, MARK_BACK, "a mark may go back")                                                         \
    X(71, TRACKED_AGAIN, "a tracked number may come again")                                        \
    X(72, TRACKED_LOST, "a tracked number is not written with its batch")                          \
    X(73, CLOCK_BACK, "recorded times may run backwards")                                          \
    /* queue */                                                                                    \
    X(80, LEADER_ASLEEP, "leadership is handed on without a wake")                                 \
    X(81, FOLLOWER_ASLEEP, "a follower is told without a wake")                                    \
    X(82, TWO_LEADERS, "between two leaders a third may begin")                                    \
    X(83, JOIN_UNLOCKED, "who joins looks without the lock whether somebody leads")                \
    X(84, TOLD_TWICE, "asynchronous commits are told twice")                                       \
    X(85, TOLD_NEVER, "asynchronous commits are counted and not told")                             \
    X(86, TWO_TELLERS, "two threads tell at once")                                                 \
    X(87, ROOM_UNTOLD, "who waits for room, or for all, is not told")                              \
    X(88, NO_ROOM_NEEDED, "any number of asynchronous commits is taken")                           \
    /* bytes: key, record, pack, walk */                                                           \
    X(90, KEY_UNSUMMED, "the sum of a row does not cover its key")                                 \
    X(91, ROW_UNCHECKED, "the sum of a row is not checked")                                        \
    X(92, RECORD_UNCHECKED, "the sum of a record is not checked")                                  \
    X(93, CHAIN_CUT, "the chain of a record does not cover the one before")                        \
    X(94, PACK_UNCHECKED, "msgpack is taken unseen")                                               \
    X(95, PAGE_TWICE, "a page of LMDB may be reached twice")                                       \
    X(96, PAGES_UNCOUNTED, "pages and rows of a table are not counted")                            \
    /* groups of other processes: post, turn, shared */                                            \
    X(100, POST_UNANSWERED, "a group that was taken along is not answered")                        \
    X(101, POST_ASSUMED, "who took a group and died is believed to have committed it")             \
    X(102, POST_AGAIN, "what a dead process has committed for others is committed again")          \
    X(103, NUMBERS_PUT, "a group that leaves nothing in the log is taken along")                   \
    X(104, DEAD_TAKEN, "what a dead process has put is committed at some later time")              \
    X(105, UNLOCK_UNRUNG, "who unlocks rings nobody that waits with a group")                      \
    /* upcast, api/read */                                                                         \
    X(110, UPCAST_ONCE, "what an upcaster gives goes through no other one")                        \
    X(111, UPCAST_META, "what an upcaster gives loses its meta")                                   \
    X(112, UPCAST_GAP, "a chain of upcasters may have gaps")                                       \
    X(113, UPCAST_LATE, "a reader uses upcasters that came after it began")                        \
    X(114, UPCAST_HEAD, "a reader's head names an event of which not all was handed out")          \
    /* projections: decide, folding, project */                                                    \
    X(120, SEQUENCE_UNSEEN, "a page of a projection commits whatever its row is by now")           \
    X(121, OWNER_UNSEEN, "anybody appends to a projection's streams")                              \
    X(122, PARKED_PASSED, "later events of a parked key are applied")                              \
    X(123, FAULT_KEPT, "what a failed attempt wrote is kept")                                      \
    X(124, MARK_APART, "the rows of a page commit before its mark")                                \
    X(125, SWAP_UNMARKED, "what was rebuilt takes the view's place with the old mark")             \
    X(126, EMITTED_TWICE, "what a page emitted before it stopped is emitted again")                \
    X(127, REBUILD_EMITS, "a rebuild emits what was emitted before")                               \
    X(128, ROWS_LEFT, "the rows of a generation that is gone stay")                                \
    X(129, SLOT_AGAIN, "a lease may name the slot of a process of today")                          \
    X(140, OWED_UNNOTED, "what is parked before it emitted is not owed")                           \
    X(141, OWED_KEPT, "what was owed is emitted and still owed")                                   \
    X(142, OWED_UNWANTED, "what was dropped or skipped is still owed")                             \
    /* snapshots: key, keep, merger */                                                             \
    X(130, FOLD_VERSION_UNSEEN, "a snapshot of another version of the fold is used")               \
    X(131, SNAPSHOT_CHAIN, "a snapshot of another history is used")                                \
    X(132, SNAPSHOT_NEWER, "a snapshot is used that is newer than what was asked for")             \
    X(133, SNAPSHOT_TIME, "a snapshot is used although an event before it is later than asked")    \
    X(134, MERGER_UNLOCKED, "who writes the index does not take the merger's byte")                \
    X(135, SNAPSHOTS_ALL, "old snapshots of a fold are never removed")                             \
    X(136, STATE_KEPT, "after a snapshot that cannot be loaded the state is not begun anew")

#ifdef QUIPU_MUTANTS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum qp_mutant {
#define QP_MUTANT_NUMBER(number, name, text) QP_MUTANT_##name = (number),
    QP_MUTANTS(QP_MUTANT_NUMBER)
#undef QP_MUTANT_NUMBER
};

/* Each source asks the environment once. What is not in the list ends the process: a test that ran
 * without the mistake would say nothing. */
static inline int qp_mutant_chosen(void)
{
    static _Atomic int chosen = -1;
    const char *wanted;

    if (chosen >= 0)
        return chosen;
    wanted = getenv("QUIPU_MUTANT");
    if (wanted == NULL || wanted[0] == '\0') {
        chosen = 0;
        return 0;
    }
#define QP_MUTANT_ASKED(number, name, text)                                                        \
    if (strcmp(wanted, #name) == 0 || strcmp(wanted, #number) == 0)                                \
        chosen = (number);
    QP_MUTANTS(QP_MUTANT_ASKED)
#undef QP_MUTANT_ASKED
    if (chosen < 0) {
        (void)fprintf(stderr, "QUIPU_MUTANT: there is no mutant %s\n", wanted);
        abort();
    }
    return chosen;
}

#define QP_MUTANT(name) (qp_mutant_chosen() == QP_MUTANT_##name)

/* The scheduler's share in a race. */
static inline void qp_mutant_pause(bool pause)
{
    const struct timespec one_ms = {.tv_nsec = 1000000};

    if (pause)
        (void)nanosleep(&one_ms, NULL);
}
#define QP_MUTANT_PAUSE(name) qp_mutant_pause(QP_MUTANT(name))

#else

#define QP_MUTANT(name)       false
#define QP_MUTANT_PAUSE(name) ((void)0)

#endif

#endif
