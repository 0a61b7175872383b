/* queue.pml - threads that queue for a commit, who leads, who is told (engine/queue.c, and the
 * parts of engine/commit.c that call it).
 *
 * Modelled     each function of queue.c as the steps that its lock divides it into. JOINERS threads
 *              commit ROUNDS times and wait; PUTTERS put PUTS asynchronous commits, with room for
 *              ROOM, and flush afterwards if FLUSH; the store is closed when all have ended: what
 *              is pending then is flushed by the closer. A group has at most GROUP requests. Each
 *              `done` may put one more (AGAIN), which must not wait.
 *              A request: 0 unknown, 1 in the queue, 2 in a group, 3 durable, 4 told.
 * Abstracted   the commit itself: one step between take and end (durability.pml); bytes; gather.
 * Property     at most one leads; nobody is told before its commit is durable; everything is told
 *              exactly once, asynchronous ones in the order of their commits; at most ROOM are
 *              pending; all threads end (a state without a step left is an error): nobody sleeps
 *              for ever, a flush ends, and after the close nothing is left.
 * Wrong ones   HAND_UNLOCKED  hand_on looks at the queue, and takes `leading` back without the lock
 *              JOIN_UNLOCKED  join looks at `leading` without the lock
 *              GIVE_UP_FIRST  between two leaders `leading` is false
 *              NO_POST        hand_on makes a leader and does not wake it
 *              TELL_UNCHECKED tell does not look whether somebody tells already
 *              TELL_NOT_LED   who has told its own share goes although nobody leads any more
 *              ROOM_UNTOLD    told, and who waits for room or for all is not woken
 *              ROOM_UNLED     who waits for room sleeps although nobody leads
 *              LEAD_UNTOLD    nobody leads any more, and who waits for room is not woken
 *              TELLER_WAITS   a `done` that finds no room waits
 *              FLUSH_LATE     a flush waits for what was put when it has led, not when it began
 *              CLOSE_OPEN     at a close a `done` may still put more
 * Run          spin -a queue.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *              expect errors: 0 without a wrong one, an error with one
 */
#ifndef JOINERS
#define JOINERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef ROOM
#define ROOM 2
#endif
#ifndef GROUP
#define GROUP 2
#endif
#ifndef FLUSH
#define FLUSH 1
#endif
#ifndef AGAIN
#define AGAIN 0                              /* how many more a `done` puts, in all */
#endif
#define THREADS (JOINERS + PUTTERS + 1)      /* the last one closes */
#define ASYNCS  (PUTTERS * PUTS + AGAIN)
#define REQUESTS (THREADS + ASYNCS)          /* a thread's own request has its number */
#define NONE    255
#define IS_ASYNC(r) ((r) >= THREADS)

bool lock;                                   /* queue->lock */
bool leading, closing, telling;
byte teller = NONE;
byte line[REQUESTS], in_line;                /* the queue: first ... last */
byte ended[ASYNCS + 1], in_ended;            /* to be told, in the order of commits */
byte pending, put, told;
byte state[REQUESTS];
bool leader[REQUESTS], post[REQUESTS];       /* the state LEADING; the semaphore */
byte leaders;                                /* how many lead just now: the property */
bool moved[THREADS];                         /* woken from the condition */
bool sleeps[THREADS];
byte order[ASYNCS + 1], durable_asyncs, told_asyncs;
byte next_async = THREADS;
byte left = THREADS - 1;                     /* threads that have not ended, the closer aside */
byte again = AGAIN;

/* hidden: scratch of d_steps */
hidden byte x, y;

inline take_lock() { atomic { !lock -> lock = 1 } }
inline drop_lock() { lock = 0 }
inline wake_movers() { d_step { x = 0; do :: x < THREADS -> moved[x] = 1; x++ :: else -> break od; x = 0 } }
inline add(r) { d_step { line[in_line] = r; in_line++; state[r] = 1 } }

/* pthread_cond_wait: the lock is let go of and the sleep begun in one step. */
inline wait_moved() {
    atomic { moved[me] = 0; sleeps[me] = 1; lock = 0 };
    atomic { moved[me] && !lock -> sleeps[me] = 0; lock = 1 }
}

/* One group: take, commit, end. */
inline lead() {
    take_lock();
    d_step {
        assert(leaders == 1);
        count = 0;
        do
        :: count < GROUP && count < in_line -> group[count] = line[count]; state[line[count]] = 2;
            count++
        :: else -> break
        od;
        x = count;
        do :: x < in_line -> line[x - count] = line[x]; x++ :: else -> break od;
        in_line = in_line - count
    };
    drop_lock();
    d_step {                                 /* the commit */
        x = 0;
        do
        :: x < count -> state[group[x]] = 3;
            if :: IS_ASYNC(group[x]) -> order[durable_asyncs] = group[x]; durable_asyncs++
            :: else fi;
            x++
        :: else -> break
        od;
        x = 0
    };
    i = 0;                                   /* end: threads first, each by itself */
    do
    :: i < count && !IS_ASYNC(group[i]) ->
        d_step {
            assert(state[group[i]] == 3); state[group[i]] = 4;
            if :: leader[group[i]] -> leader[group[i]] = 0 :: else -> post[group[i]] = 1 fi;
            i++
        }
    :: i < count && IS_ASYNC(group[i]) -> i++
    :: else -> break
    od;
    take_lock();
    d_step {
        x = 0;
        do
        :: x < count && IS_ASYNC(group[x]) -> ended[in_ended] = group[x]; in_ended++; x++
        :: x < count && !IS_ASYNC(group[x]) -> x++
        :: else -> break
        od;
        x = 0; do :: x < count -> group[x] = 0; x++ :: else -> break od; count = 0; i = 0
    };
    drop_lock()
}

inline find_thread() {                       /* the first in the queue that a thread waits for */
    d_step {
        i = 0;
        do :: i < in_line && IS_ASYNC(line[i]) -> i++ :: else -> break od;
        i = (i < in_line -> line[i] : NONE)
    }
}

inline hand_on() {
#ifdef HAND_UNLOCKED
    find_thread();
    take_lock();
#else
    take_lock();
    find_thread();
#endif
    if
    :: i != NONE -> d_step { leader[i] = 1;
#ifdef GIVE_UP_FIRST
        leading = 0;
#endif
#ifndef NO_POST
        post[i] = 1
#endif
        }
    :: else -> d_step { leading = 0; leaders-- };
#ifndef LEAD_UNTOLD
        wake_movers()
#endif
    fi;
    i = 0;
    drop_lock()
}

inline tell() {
    take_lock();
    enough = put;
    do
#ifdef TELL_UNCHECKED
    :: in_ended > 0 && (told < enough || !leading) ->
#elif defined(TELL_NOT_LED)
    :: !telling && in_ended > 0 && told < enough ->
#else
    :: !telling && in_ended > 0 && (told < enough || !leading) ->
#endif
        d_step {
            i = ended[0]; x = 1;
            do :: x < in_ended -> ended[x - 1] = ended[x]; x++ :: else -> break od;
            in_ended--; ended[in_ended] = 0; telling = 1; teller = me; pending--
        };
        drop_lock();
        d_step {                             /* request->done(request) */
            assert(state[i] == 3 && order[told_asyncs] == i);
            state[i] = 4; told_asyncs++; i = 0
        };
        if                                   /* it may put another one, and does not wait */
        :: again > 0 -> again--;
            take_lock();
#ifdef CLOSE_OPEN
            if :: pending < ROOM ->
#elif defined(TELLER_WAITS)
            do :: pending >= ROOM -> wait_moved() :: else -> break od;
            if :: !closing ->
#else
            if :: !closing && pending < ROOM ->
#endif
                add(next_async); next_async++; pending++; put++
            :: else
            fi;
            drop_lock()
        :: 1
        fi;
        take_lock();
        d_step { telling = 0; teller = NONE; told++ };
#ifndef ROOM_UNTOLD
        wake_movers()
#endif
    :: else -> break
    od;
    enough = 0;
    drop_lock()
}

inline end_leading() { hand_on(); tell() }

/* Join with the thread's own request, wait, lead until it was in a group. */
inline commit() {
#ifdef JOIN_UNLOCKED
    leads = !leading;
    take_lock();
    add(me);
#else
    take_lock();
    add(me);
    leads = !leading;
#endif
    if :: leads -> d_step { leading = 1; leaders++; leader[me] = 1 } :: else fi;
    drop_lock();
    if
    :: leads -> skip
    :: else -> post[me] -> post[me] = 0
    fi;
    leads = 0;
    if
    :: leader[me] ->
        do :: leader[me] -> lead() :: else -> break od;
        end_leading()
    :: else -> skip
    fi;
    skip;
    d_step { assert(state[me] == 4); state[me] = 0 }
}

inline put_one() {
    take_lock();
    do
    :: pending >= ROOM ->
        if
#ifndef ROOM_UNLED
        :: !leading && in_line > 0 ->
            d_step { leading = 1; leaders++ };
            drop_lock();
            lead();
            end_leading();
            take_lock()
#endif
        :: else -> wait_moved()
        fi
    :: else -> break
    od;
    skip;
    d_step { line[in_line] = next_async; in_line++; state[next_async] = 1; next_async++;
        pending++; put++; assert(pending <= ROOM) };
    drop_lock()
}

inline flush() {
    take_lock();
    before = put;
    drop_lock();
    commit();
    tell();
    take_lock();
#ifdef FLUSH_LATE
    before = put;
#endif
    enough = before;
    before = 0;
    do :: told < enough -> wait_moved() :: else -> break od;
    enough = 0;
    drop_lock()
}

proctype joiner(byte me) {
    byte group[GROUP], count, i, enough, before, n; bool leads;
    do :: n < ROUNDS -> commit(); n++ :: else -> break od;
    left--
}

proctype putter(byte me) {
    byte group[GROUP], count, i, enough, before, n; bool leads;
    do :: n < PUTS -> put_one(); n++ :: else -> break od;
    if :: FLUSH -> flush(); assert(told_asyncs >= PUTS) :: else fi;
    left--
}

proctype closer(byte me) {
    byte group[GROUP], count, i, enough, before; bool leads;
    left == 0;
    take_lock();
    d_step { closing = 1; count = pending };
    drop_lock();
    if :: count > 0 -> count = 0; flush() :: else -> skip fi;
    take_lock();
    closing = 0;
    drop_lock();
    assert(!leading && in_line == 0 && in_ended == 0 && pending == 0);
    assert(told == put && told_asyncs == put && durable_asyncs == put)
}

init {
    byte w;
    atomic {
        for (w : 0 .. JOINERS - 1) { run joiner(w) }
        for (w : JOINERS .. JOINERS + PUTTERS - 1) { run putter(w) }
        run closer(THREADS - 1)
    }
}
