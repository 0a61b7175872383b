/* read_merge.pml - readers, tail, merge and commits of several processes (engine/moment.c, tail.c,
 * merge.c, and the order of steps in commit.c).
 *
 * Modelled     log head H and index row `indexed` I: a read transaction is a copy of either; IX is
 *              what the index holds. One tail per process: a list of segments (a, b], the newest
 *              open or sealed, at most FULL events each; pins, dropping, resetting; what is reset
 *              while it is pinned lives on (`held`). A merge takes sealed segments that begin at
 *              `indexed`, pinned and read without the tail's lock, else it folds the log.
 *              Each worker is a thread that does, for ever and in any order: read, commit (or
 *              abort), merge. WORKERS = threads of process 0; process 1 has one unless SINGLE.
 * Abstracted   one term that every event belongs to; records; disk and crashes (durability.pml);
 *              leader and followers (queue.pml). The tail's lock is the atomic blocks below.
 * Property     for each position p a read or a decide sees p once if p <= h and never otherwise,
 *              with i <= h, also when a long scan takes new snapshots half way. One looks again
 *              only after a merge has committed meanwhile, so that the loop ends. The index holds
 *              exactly 1..I, none of which was not committed. No position is twice in a tail.
 * Wrong ones   LOG_FIRST     the log's snapshot before the index's
 *              NO_CLIP       the tail is not clipped to p > i
 *              NO_CLIP_HEAD  nor to p <= h, where a pinned segment has grown
 *              NO_PINS       what others have pinned is freed
 *              DROP_MIDDLE   a segment behind a pinned one is dropped
 *              FOLD_UNLOCKED `top` is read, then folded without the lock
 *              PUBLISH_BLIND a leader adds its events without a look at `top`
 *              PUBLISH_GAP   or although events before them are missing
 *              MERGE_AHEAD   a merge takes a position that is not committed
 *              MERGE_OPEN    a merge takes a segment that still grows
 *              MERGE_BEHIND  a merge takes a segment that begins before `indexed`: twice in the index
 * Run          spin -a read_merge.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
 *              expect errors: 0 without a wrong one, an assertion violated with one
 */
#ifndef N
#define N 3                                  /* positions 1..N */
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef FULL
#define FULL 2                               /* events of a segment */
#endif
#define SLICE 2                              /* positions a merge writes in one index transaction */
#define UPTO(b)     ((1 << ((b) + 1)) - 1)   /* bits 0..b */
#define RANGE(a, b) (UPTO(b) & ~UPTO(a))     /* bits a+1..b */
#define HAS(m, p)   (((m) >> (p)) & 1)

byte H, I;                                   /* committed: head of the log, `indexed` */
byte pending;                                /* position in the open write transaction */
bool store_lock, merge_lock;                 /* the lock in `shared`; guard byte 2 */

typedef Tail { byte base, top, ends; bool sealed };  /* (base, top]; where segments end; newest */
Tail T[2];
byte pins[4];                                /* per worker: positions of linked segments it pins */
byte held[4];                                /* per worker: of unlinked ones */

#define OTHERS ((pr == 0 -> pins[0] | pins[1] | pins[2] : pins[3]))  /* pinned in this process */

inline seg_end(from, e) {                    /* the end of the segment that begins after `from` */
    e = from + 1;
    do :: !HAS(T[pr].ends, e) -> e++ :: else -> break od
}
inline newest_begin(e) {                     /* after which position the newest segment begins */
    e = T[pr].top - 1;
    do :: e > T[pr].base && !HAS(T[pr].ends, e) -> e-- :: else -> break od
}

/* Add top + 1 to the newest segment, or to a new one. Who pins a segment pins what it gets later. */
inline add_one() {
    if
    :: T[pr].top > T[pr].base && !T[pr].sealed ->
        T[pr].ends = T[pr].ends & ~(1 << T[pr].top);
        c = 0;
        do
        :: c < 4 ->
            if
            :: (pr == 0) == (c < 3) && HAS(pins[c], T[pr].top) ->
                pins[c] = pins[c] | (1 << (T[pr].top + 1))
            :: else
            fi;
            c++
        :: else -> break
        od
    :: else -> T[pr].sealed = 0
    fi;
    T[pr].top++;
    T[pr].ends = T[pr].ends | (1 << T[pr].top);
    newest_begin(c);
    if :: T[pr].top - c >= FULL -> T[pr].sealed = 1 :: else fi;
    c = 0
}
inline fold(to) {                            /* (top, to] */
    d_step { do :: T[pr].top < to -> add_one() :: else -> break od; c = 0 }
}
inline drop_front(seen) {                    /* seen: an `indexed` that was seen committed */
    d_step {
    a = T[pr].base; front = 1;
    do
    :: a < T[pr].top ->
        seg_end(a, b);
        if
#ifdef NO_PINS
        :: b <= seen ->
            c = 0; do :: c < 4 -> pins[c] = pins[c] & ~RANGE(a, b); c++ :: else -> break od; c = 0;
#else
        :: b <= seen && !(OTHERS & RANGE(a, b)) ->
#endif
            if
            :: front -> T[pr].ends = T[pr].ends & ~(1 << b); T[pr].base = b
#ifdef DROP_MIDDLE
            :: else -> middle[pr] = middle[pr] | RANGE(a, b)
#endif
            fi
        :: else ->
#ifdef DROP_MIDDLE
            front = 0
#else
            break                            /* from the front only: (base, top] has no gaps */
#endif
        fi;
        a = b
    :: else -> break
    od; a = 0; b = 0; front = 0
    }
}
#ifdef DROP_MIDDLE
byte middle[2];                              /* dropped out of the middle of (base, top] */
#define GONE middle[pr]
#else
#define GONE 0
#endif
inline reset(to) {                           /* unlink all; what is pinned lives until unpinned */
    d_step {
    c = 0;
    do
    :: c < 4 ->
        if
        :: (pr == 0) == (c < 3) ->
            held[c] = held[c] | (pins[c] & RANGE(T[pr].base, T[pr].top)); pins[c] = 0
        :: else
        fi;
        c++
    :: else -> break
    od; c = 0;
    T[pr].ends = 0; T[pr].base = to; T[pr].top = to; T[pr].sealed = 0
    }
}
inline oldest_pinned(r) {
    if
    :: T[pr].base < T[pr].top -> seg_end(T[pr].base, b); r = (OTHERS & RANGE(T[pr].base, b)) != 0
    :: else -> r = 1
    fi; b = 0
}
/* All in one hold of the lock. `late`: the tail begins after i. */
inline pin_tail() {
    drop_front(i);
    d_step { oldest_pinned(front) };
    if
    :: T[pr].top < i -> reset(i)
    :: !front && T[pr].base < i && T[pr].top > i -> reset(i)  /* mostly indexed: may be done */
    :: else -> skip
    :: T[pr].top >= i -> skip
    fi;
    d_step { front = 0; late = T[pr].base > i };
    if
    :: !late -> fold(h);
        d_step {                             /* the segments over (i, h] */
        a = T[pr].base;
        do
        :: a < T[pr].top ->
            seg_end(a, b);
            if :: b > i && a < h -> pins[me] = pins[me] | RANGE(a, b) :: else fi;
            a = b
        :: else -> break
        od; a = 0; b = 0
        }
    :: else -> assert(I > i)
    fi
}
inline unpin() { d_step { pins[me] = 0; held[me] = 0 } }

/* Index positions plus the tail's, counted. Looking at all positions in one step loses nothing:
 * whatever could be wrong with one of them is wrong at a time. */
inline see_all() {
    d_step {
        a = 1;
        do
        :: a <= N ->
            b = (a <= i && a <= h -> 1 : 0);
#ifdef NO_CLIP
            b = b + (a <= h && HAS((pins[me] & ~GONE) | held[me], a) -> 1 : 0);
#elif defined(NO_CLIP_HEAD)
            b = b + (a > i && HAS((pins[me] & ~GONE) | held[me], a) -> 1 : 0);
#else
            b = b + (a > i && a <= h && HAS((pins[me] & ~GONE) | held[me], a) -> 1 : 0);
#endif
            assert(b == (a <= h -> 1 : 0));
            a++
        :: else -> break
        od; a = 0; b = 0
    }
}

#ifdef MERGE_BEHIND
#define BEGINS (a == end || (a < i && b > i && end == i))
#else
#define BEGINS (a == end)
#endif
#ifdef MERGE_OPEN
#define WHOLE 1
#else
#define WHOLE (b < T[pr].top || T[pr].sealed)
#endif
/* Pin sealed segments that begin at i, up to h and a slice; `end` = where they end, i: none. */
inline pin_sealed() {
    d_step {
        end = i; a = T[pr].base;
        do
        :: a < T[pr].top ->
            seg_end(a, b);
            if
            :: BEGINS && b <= h && b <= i + SLICE && WHOLE ->
                pins[me] = pins[me] | RANGE(a, b); end = b
            :: else
            fi;
            a = b
        :: else -> break
        od; a = 0; b = 0
    }
}

proctype worker(byte me; byte pr) {
    byte i, h, h0, a, b, c, end; bool front, late;
idle:
    if
    :: pr == 0 -> goto read                  /* process 1 commits and merges; it would read alike */
    :: atomic { !store_lock && H < N -> store_lock = 1 }; goto commit
    :: atomic { !merge_lock -> merge_lock = 1 }; goto merge
    fi;

read:
#ifdef LOG_FIRST
    h = H; i = I;
#else
    i = I;                                   /* two steps: anything may happen between */
    h = H;
#endif
#ifdef FOLD_UNLOCKED
    a = T[pr].top;
    atomic { if :: a >= i && a < h -> assert(a == T[pr].top); a = 0; fold(h) :: else -> a = 0 fi };
#endif
    atomic {
        assert(i <= h);
        pin_tail();
        if :: late -> late = 0; goto read :: else fi;
        if :: h0 == 0 -> h0 = h :: else -> h = h0 fi  /* after a renewal: clip to the first h */
    };
    if
    :: atomic { see_all(); unpin(); i = 0; h = 0; h0 = 0; goto idle }
    :: atomic { see_all(); unpin(); goto read }  /* a long scan: all up to h0 must be right still */
    fi;

commit:
    h = H;                                   /* LMDB's write transaction: nobody moves the head */
renew:
    i = I;
    atomic {
        assert(i <= h);
        pin_tail();
        if :: late -> late = 0; goto renew :: else fi
    };
    atomic { see_all(); pending = h + 1 };   /* decide */
    atomic { unpin(); i = 0 };               /* apply comes after the moment has ended */
    if
    :: atomic { H = h + 1; pending = 0; h++; h0 = 1 }
    :: pending = 0                           /* apply or commit failed: nothing happened */
    fi;
    store_lock = 0;
    atomic {                                 /* publish; others may have been faster, in all of it */
        if
#ifdef PUBLISH_BLIND
        :: h0 -> assert(T[pr].top < h); fold(h)
#elif defined(PUBLISH_GAP)
        :: h0 && T[pr].top < h -> assert(T[pr].top + 1 == h); fold(h)
#else
        :: h0 && T[pr].top + 1 == h -> fold(h)
#endif
        :: else
        fi;
        h = 0; h0 = 0; goto idle
    };

merge:
    if :: T[pr].top > T[pr].base -> T[pr].sealed = 1 :: else fi;
#ifdef MERGE_AHEAD
    atomic { h = (pending > H -> pending : H) };
#else
    h = H;                                   /* the head of a snapshot of the log */
#endif
    do
    :: i = I;
       if
       :: i >= h -> break
       :: else
       fi;
       pin_sealed();
       if
       :: end > i -> skip                    /* read without the lock: */
       :: else -> end = (h < i + SLICE -> h : i + SLICE)  /* folded from the log */
       fi;
       atomic {                              /* the commit of a slice */
           assert(end <= H);
           if
           :: pins[me] | held[me] -> assert(((pins[me] & ~GONE) | held[me]) == RANGE(i, end))
           :: else
           fi;
           I = end; i = end; end = 0
       };
       unpin();
       atomic { drop_front(i) }
    :: break                                 /* gives up or dies between two slices */
    od;
    atomic { merge_lock = 0; i = 0; h = 0; end = 0; goto idle }
}

init {
    byte w;
    atomic {
        for (w : 0 .. WORKERS - 1) { run worker(w, 0) }
#ifndef SINGLE
        run worker(3, 1)
#endif
    }
}
