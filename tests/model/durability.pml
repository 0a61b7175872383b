/* durability.pml - commit, power loss, killed processes, failed flushes, index and log, openers that
 * may only read (engine/commit.c, lock.c, open.c, store.c, merge.c).
 *
 * Modelled     LMDB's file in the page cache and on disk: two meta pages, three data pages.
 *              Transaction n writes data page n % 3, the tightest reuse that LMDB allows (pages of
 *              snapshot n - 3), flushes, writes meta page n & 1 (O_DSYNC; lazy: not flushed), moves
 *              `vis` (LMDB's mti_txnid, what readers see). A failed meta write puts the old number
 *              back with the new roots, as LMDB does, and LMDB refuses that process from then on.
 *              One event a transaction; its number names it and the whole history before it (`par`),
 *              so it is also its chain. A page may reach the disk at any time. A failed write marks
 *              the page clean (whether it arrived or not) and is reported once to every open file
 *              description (Linux; one opened later learns nothing if somebody was told). Each
 *              process has LMDB's two (me_fd, me_mfd), a committer and a merger thread, may be
 *              killed at any step, closed and opened again, for reading only too (READERS opens).
 *              Power loss at any step: only the disk stays.
 * Abstracted   one event a batch; the index is one atomic value (idx) that may reach the disk at
 *              any time: index.mdb is settled and poisoned as the log is, under guard byte 2.
 * Property     after a power loss the picked snapshot is whole; sync: it holds every acknowledged
 *              event, also those that a DUPLICATE receipt spoke of; lazy: all but at most the
 *              newest; the index on disk is never ahead of it; an index that an opener accepts holds
 *              only events of the log; a writer that has opened sees the newest commit.
 * Wrong ones   NO_OWNER_SYNC        nothing is done for a lock's dead owner
 *              NO_POISON            a failed flush without `poisoned`
 *              NO_CHAIN             an opener compares `indexed` only
 *              RECOVER_BY_COMMITS   two commits after poison, the meta pages not rewritten before
 *              OPEN_NO_REWRITE      a sole opener without `poisoned`: flush only, no rewriting
 *              OWNER_NO_REWRITE     a dead owner: flush only, no rewriting
 *              META_UNDONE          a failed meta write counts as: nothing happened
 *              READER_FORGETS       a sole reader makes `shared` anew, and nothing is left unsettled
 *              UNSETTLED_UNSEEN     a writer beside a sole reader does not settle
 *              OPEN_BLIND           an opener does not let LMDB look at its meta pages
 *   (LAZY)     MERGE_NO_SYNC        a merge before the log is durable
 *              FLUSH_UNLOCKED       the merger flushes without the store lock
 *              FLUSH_UNDONE         no room at a flush, and the meta pages are not written again
 *   (MIXED)    DUPLICATE_NO_SYNC    process 0 is sync, 1 lazy: 0 answers DUPLICATE for what 1 has
 *                                   committed, without a flush
 * Run          spin [-DLAZY|-DMIXED] [-DNO_POISON ...] -a durability.pml &&
 *              cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m1000000
 *              expect errors: 0 without a wrong one, an assertion violated with one
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef FAILS
#define FAILS 1                              /* failed page writes */
#endif
#ifndef LOSSES
#define LOSSES 1                             /* power losses */
#endif
#ifndef READERS
#define READERS 0                            /* opens for reading only */
#endif
#ifndef S
#define S 4                                  /* transactions begun, in all */
#endif
mtype = { CLOSED, SETTLE, OSYNC, ODONE, SEE, LATE, LSYNC, RSYNC, IDLE, OWNER, BEGIN, DECIDE, FLUSH, META, MSYNC, FAKE, FAIL, VIS, ACK,
          M0, M1, M2 };

byte par[S + 2], pos[S + 2], serial;         /* transaction -> the one before it, its number in LMDB and position */
byte pgC[3], pgD[3];                         /* data pages: cache, disk */
byte tC[2], cC[2], tD[2], cD[2];             /* meta pages: number and transaction */
byte dirty, vis;                             /* dirty: bits 0-2 data, 3-4 meta */
byte pend; bool unseen;                      /* an error not yet told: bit p me_fd, bit 2 + p me_mfd; told to nobody */
byte lock, byte0, byte2;                     /* owner + 1: store lock, open/close, merger */
bool owner_died, w_died, poisoned;           /* robust store lock; LMDB's own; flag in `shared` */
bool unsettled, reads[2], panic[2];          /* flag in `shared`; opened to read; LMDB gave up */
bool up[2];                                  /* guard byte 1 */
mtype pc[2] = CLOSED, mpc[2] = M0;
byte cur[2], new[2], m[2]; byte again[2];
byte idxC, idxD;                             /* index: last transaction merged: cache, disk */
byte acked, told; bool replaced;             /* newest acknowledged: by anyone, by a sync process */
byte kills, fails, losses, readers;

#ifdef MIXED
#define LAZY
#define IS_LAZY(p) (p == 1)
#elif defined(LAZY)
#define IS_LAZY(p) 1
#else
#define IS_LAZY(p) 0
#endif
#define SLOT(t)  ((t) & 1)
#define PICK(t)  (t[0] < t[1] -> 1 : 0)      /* mdb_env_pick_meta */
#define HEAD     cC[SLOT(vis)]

inline anc(a, b, r) { x = b; do :: x > a -> x = par[x] :: else -> break od; r = (x == a); x = 0 }
inline fsync(rc) {                           /* fdatasync(me_fd) of p: all dirty pages, then this description's error */
    if :: dirty & 1 -> pgD[0] = pgC[0] :: else fi; if :: dirty & 2 -> pgD[1] = pgC[1] :: else fi;
    if :: dirty & 4 -> pgD[2] = pgC[2] :: else fi; if :: dirty & 8 -> tD[0] = tC[0]; cD[0] = cC[0] :: else fi;
    if :: dirty & 16 -> tD[1] = tC[1]; cD[1] = cC[1] :: else fi; dirty = 0;
    rc = (pend >> p) & 1; pend = pend & ~(1 << p); if :: rc -> unseen = 0 :: else fi
}
inline unlock() { lock = 0; pc[p] = IDLE }
inline leave() { up[p] = 0; pend = pend & ~(5 << p); pc[p] = CLOSED; mpc[p] = M0; cur[p] = 0; new[p] = 0; m[p] = 0; again[p] = 0; reads[p] = 0; panic[p] = 0;
    if :: byte0 == p + 1 -> byte0 = 0 :: else fi; if :: byte2 == p + 1 -> byte2 = 0 :: else fi }

proctype process(byte p) {
    byte x; bool r;
    do
    /* open and close (8) */
    :: d_step { pc[p] == CLOSED && !byte0 ->
        byte0 = p + 1; pend = pend | (unseen -> 5 << p : 0);
        if
        :: !up[0] && !up[1] -> vis = tC[PICK(tC)]; w_died = 0; owner_died = 0; lock = 0;
#ifdef OPEN_NO_REWRITE
            pc[p] = (poisoned -> SETTLE : OSYNC)
#else
            pc[p] = SETTLE
#endif
        :: else -> pc[p] = (unsettled -> LATE : SEE)
        fi }
    :: d_step { pc[p] == CLOSED && !byte0 && readers < READERS ->  /* for reading only */
        byte0 = p + 1; pend = pend | (unseen -> 5 << p : 0); readers++; reads[p] = 1;
        if
        :: !up[0] && !up[1] -> vis = tC[PICK(tC)]; w_died = 0; owner_died = 0; lock = 0;
#ifdef READER_FORGETS
            poisoned = 0; unsettled = 0
#else
            unsettled = 1
#endif
        :: else -> skip
        fi;
        pc[p] = ODONE }
    :: d_step { pc[p] == LATE && !byte2 && !lock -> byte2 = p + 1; lock = p + 1;
        owner_died = 0;                      /* settled in any case */
#ifdef UNSETTLED_UNSEEN
        unsettled = 0; byte2 = 0; lock = 0; pc[p] = SEE }
#else
        dirty = dirty | 24; pc[p] = LSYNC }
#endif
    :: d_step { pc[p] == LSYNC -> fsync(r); lock = 0; byte2 = 0;
        if :: r -> poisoned = 1; leave() :: else -> unsettled = 0; pc[p] = SEE fi; r = 0 }
    :: d_step { pc[p] == SEE && lock -> pc[p] = ODONE }  /* who has the lock sees to it */
    :: d_step { pc[p] == SEE && !lock && !owner_died ->
#ifndef OPEN_BLIND
        if :: w_died && !poisoned -> vis = tC[PICK(tC)]; w_died = 0 :: else fi;
#endif
        assert(poisoned || vis == tC[PICK(tC)]); pc[p] = ODONE }
    :: d_step { pc[p] == SEE && !lock && owner_died -> dirty = dirty | 24; fsync(r);
        if :: r -> poisoned = 1 :: else -> owner_died = 0 fi; r = 0 }
    :: d_step { pc[p] == SETTLE ->           /* sole opener */
#ifdef RECOVER_BY_COMMITS
        if :: poisoned -> again[p] = 2; pc[p] = BEGIN :: else -> pc[p] = OSYNC fi }
#else
        dirty = dirty | 24; pc[p] = OSYNC }  /* both meta pages read and written back as they are */
#endif
    :: d_step { pc[p] == OSYNC -> fsync(r);
        if
        :: r -> leave()                      /* what `shared` says stands */
        :: else -> again[p] = 0; poisoned = 0; unsettled = 0;
            if                               /* index valid? */
            :: pos[idxC] > pos[HEAD] -> idxC = 0
            :: else -> skip;
#ifndef NO_CHAIN
                x = HEAD; do :: pos[x] > pos[idxC] -> x = par[x] :: else -> break od;
                if :: x != idxC -> idxC = 0 :: else fi; x = 0
#endif
            fi;
            anc(idxC, HEAD, r); assert(r); pc[p] = ODONE
        fi; r = 0 }
    :: d_step { pc[p] == ODONE -> up[p] = 1; byte0 = 0; pc[p] = IDLE }
    :: d_step { pc[p] == IDLE && mpc[p] == M0 && !byte0 -> leave() }

    /* commit (5) */
    :: d_step { pc[p] == IDLE && !reads[p] && !lock -> lock = p + 1; pc[p] = (owner_died -> OWNER : BEGIN) }
    :: d_step { pc[p] == OWNER ->
#ifdef NO_OWNER_SYNC
        r = 0;
#else
#ifndef OWNER_NO_REWRITE
        dirty = dirty | 24;
#endif
        fsync(r);
#endif
        if :: r -> poisoned = 1; unlock() :: else -> owner_died = 0; pc[p] = BEGIN fi; r = 0 }
    :: d_step { pc[p] == BEGIN ->
        if
        :: (poisoned || panic[p]) && !again[p] -> unlock()
        :: else -> if :: w_died -> vis = tC[PICK(tC)]; w_died = 0 :: else fi; cur[p] = HEAD; pc[p] = DECIDE
        fi }
    :: d_step { pc[p] == DECIDE && !again[p] -> /* DUPLICATE of the newest event: a receipt without a commit */
#if defined(MIXED) && !defined(DUPLICATE_NO_SYNC)
        if :: !IS_LAZY(p) -> fsync(r) :: else fi;
#endif
        if
        :: r -> poisoned = 1
        :: else -> if :: pos[cur[p]] > pos[acked] -> acked = cur[p] :: else fi;
            if :: !IS_LAZY(p) && pos[cur[p]] > pos[told] -> told = cur[p] :: else fi
        fi; r = 0; cur[p] = 0; unlock() }
    :: d_step { pc[p] == DECIDE && serial < S ->
        serial++; new[p] = serial; par[serial] = cur[p]; pos[serial] = vis + 1; cur[p] = 0;
        pgC[(vis + 1) % 3] = serial; dirty = dirty | (1 << ((vis + 1) % 3)); pc[p] = FLUSH }
    :: d_step { pc[p] == FLUSH && !again[p] && ((pend >> p) & 1) ->  /* for want of room: undone */
        fsync(r); r = 0; new[p] = 0;
#if defined(LAZY) && !defined(FLUSH_UNDONE)
        dirty = dirty | 24; pc[p] = RSYNC }
    :: d_step { pc[p] == RSYNC -> fsync(r); if :: r -> pc[p] = FAIL :: else -> unlock() fi; r = 0 }
#else
        unlock() }
#endif
    :: d_step { pc[p] == FLUSH -> fsync(r); pc[p] = (r -> FAIL : META); r = 0 }
    :: d_step { pc[p] == META -> x = SLOT(pos[new[p]]); tC[x] = pos[new[p]]; cC[x] = new[p]; dirty = dirty | (8 << x); x = 0;
        pc[p] = (IS_LAZY(p) && !again[p] -> VIS : MSYNC) }
    :: d_step { pc[p] == MSYNC -> x = SLOT(pos[new[p]]);
        if :: dirty & (8 << x) -> tD[x] = tC[x]; cD[x] = cC[x]; dirty = dirty & ~(8 << x) :: else fi; x = 0;
        if :: pend & (4 << p) -> pend = pend & ~(4 << p); unseen = 0; pc[p] = FAKE :: else -> pc[p] = VIS fi }
    :: d_step { pc[p] == FAKE -> x = SLOT(pos[new[p]]); tC[x] = (tC[x] > 2 -> tC[x] - 2 : 0); dirty = dirty | (8 << x); x = 0;
#ifdef META_UNDONE
        panic[p] = 1; new[p] = 0; unlock() }
#else
        panic[p] = 1; pc[p] = FAIL }
#endif
    :: d_step { pc[p] == FAIL -> new[p] = 0;
#ifndef NO_POISON
        poisoned = 1;
#endif
        unlock() }                           /* everybody finds `poisoned`, until all have closed */
    :: d_step { pc[p] == VIS -> vis = pos[new[p]]; pc[p] = ACK }
    :: d_step { pc[p] == ACK -> acked = new[p]; if :: !IS_LAZY(p) -> told = new[p] :: else fi; new[p] = 0;
        if
        :: again[p] == 2 -> again[p] = 1; pc[p] = BEGIN
        :: again[p] == 1 -> pc[p] = OSYNC
        :: else -> unlock()
        fi }

    /* merge (7), a thread of the same process */
#if defined(LAZY) && !defined(FLUSH_UNLOCKED) && !defined(MERGE_NO_SYNC)
    :: d_step { up[p] && !reads[p] && mpc[p] == M0 && !byte2 && !lock && !owner_died && !poisoned && pos[HEAD] > pos[idxC] ->
        byte2 = p + 1; lock = p + 1; m[p] = HEAD; mpc[p] = M1 }
    :: d_step { mpc[p] == M1 -> fsync(r); lock = 0;
        if :: r -> poisoned = 1; byte2 = 0; m[p] = 0; mpc[p] = M0 :: else -> mpc[p] = M2 fi; r = 0 }
#else
    :: d_step { up[p] && !reads[p] && mpc[p] == M0 && !byte2 && !poisoned && pos[HEAD] > pos[idxC] -> byte2 = p + 1; m[p] = HEAD;
#ifdef FLUSH_UNLOCKED
        mpc[p] = M1 }
    :: d_step { mpc[p] == M1 -> fsync(r);
        if :: r -> poisoned = 1; byte2 = 0; m[p] = 0; mpc[p] = M0 :: else -> mpc[p] = M2 fi; r = 0 }
#else
        mpc[p] = M2 }
#endif
#endif
    :: d_step { mpc[p] == M2 -> idxC = m[p]; m[p] = 0; byte2 = 0; mpc[p] = M0 }
    od
}

active proctype world() {                    /* kernel, disk, operator, power */
    byte k, x, p; bool r, s;
    atomic { run process(0); run process(1) };
    do
    :: atomic { dirty ->  /* some dirty page reaches the disk, or fails to */
        if :: dirty & 1 -> k = 0 :: dirty & 2 -> k = 1 :: dirty & 4 -> k = 2 :: dirty & 8 -> k = 3 :: dirty & 16 -> k = 4 fi;
        d_step { dirty = dirty & ~(1 << k) };
        if
        :: s = 1
        :: fails < FAILS -> d_step { fails++; unseen = 1; s = 1;
            pend = pend | (pc[0] != CLOSED -> 5 : 0) | (pc[1] != CLOSED -> 10 : 0) }
        :: fails < FAILS -> d_step { fails++; unseen = 1; s = 0;
            pend = pend | (pc[0] != CLOSED -> 5 : 0) | (pc[1] != CLOSED -> 10 : 0) }
        fi;
        d_step {
            if
            :: s && k < 3 -> pgD[k] = pgC[k]
            :: s && k >= 3 -> tD[k - 3] = tC[k - 3]; cD[k - 3] = cC[k - 3]
            :: else
            fi; s = 0; k = 0 } }
    :: d_step { idxD != idxC -> idxD = idxC }
    :: atomic { kills < KILLS && (pc[0] != CLOSED || pc[1] != CLOSED) -> if :: pc[0] != CLOSED -> p = 0 :: pc[1] != CLOSED -> p = 1 fi;
        d_step { kills++;
            if :: lock == p + 1 -> lock = 0; owner_died = 1 :: else fi;
            if :: pc[p] == DECIDE || pc[p] == FLUSH || pc[p] == META || pc[p] == MSYNC || pc[p] == FAKE || pc[p] == VIS -> w_died = 1
            :: else fi;
            leave(); p = 0 } }
    :: d_step { !replaced && !byte0 && pc[0] == CLOSED && pc[1] == CLOSED && !dirty && !poisoned && serial < S && acked &&
                tC[PICK(tC)] == pos[acked] && cC[PICK(tC)] == acked ->  /* log.mdb replaced by a copy whose last event differs */
        replaced = 1; serial++; par[serial] = par[acked]; pos[serial] = pos[acked]; k = PICK(tC);
        cC[k] = serial; pgC[pos[acked] % 3] = serial; acked = serial; told = 0; k = 0;
        pgD[0] = pgC[0]; pgD[1] = pgC[1]; pgD[2] = pgC[2]; tD[0] = tC[0]; tD[1] = tC[1]; cD[0] = cC[0]; cD[1] = cC[1] }
    :: d_step { losses < LOSSES -> losses++;
        k = PICK(tD); x = cD[k];
        assert(tD[k] == pos[x] && pgD[pos[x] % 3] == x);  /* whole */
        k = x;
        anc(acked, k, r);
#ifdef LAZY
        assert(r || par[acked] == k);
#endif
        anc(told, k, r); assert(r);
        anc(idxD, k, r); assert(r || replaced);
        pgC[0] = pgD[0]; pgC[1] = pgD[1]; pgC[2] = pgD[2]; tC[0] = tD[0]; tC[1] = tD[1]; cC[0] = cD[0]; cC[1] = cD[1];
        dirty = 0; pend = 0; unseen = 0; lock = 0; owner_died = 0; w_died = 0; poisoned = 0; unsettled = 0; idxC = idxD; acked = k;
        p = 0; leave(); p = 1; leave(); p = 0; byte0 = 0; byte2 = 0; k = 0; r = 0; x = 0 }
    od
}
