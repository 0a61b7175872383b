/* post.pml - groups of other processes that the owner of the store lock takes along (engine/turn.c,
 * post.c, and commit_group() in commit.c).
 *
 * Modelled     PROCS processes, each with one batch, a box, and the store lock, which is robust. Who
 *              finds the lock taken puts its batch into its box and waits for the lock, for the
 *              answer, or until its time is over. KILLS processes are killed, at any step. The log's newest event is
 *              a number that each commit with events raises: it stands for position and chain.
 * Abstracted   the commit: one step (durability.pml); bytes and their sums; who stands back.
 * Property     who is told that its batch is in has it in the log, once; who is told that it is not
 *              will never have it there; no batch is in twice.
 * Wrong ones   ASSUMED        who took it and died is believed to have committed it
 *              AGAIN          it is committed again whatever the dead one has done
 *              PLAN_LATE      the plan is written after the commit
 *              WITHDRAW_BLIND who gives up looks at its box and then empties it, in two steps
 *              NUMBERS_PUT    a batch is put that changes marks and appends no events: the log does
 *                             not tell whether it is in
 * Run          spin -a post.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E
 *              expect errors: 0 without a wrong one, an assertion violated with one
 */
#ifndef PROCS
#define PROCS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifdef NUMBERS_PUT
#define EVENTS(p) 0                          /* does its batch append any? */
#else
#define EVENTS(p) 1
#endif
mtype = { EMPTY, POSTED, TAKEN, DONE };

mtype box[PROCS] = EMPTY;
byte plan[PROCS];                            /* the newest event if it was committed; 0: no plan */
bool planned[PROCS];
byte lock, newest, kills;
byte in[PROCS];                              /* how often a batch is in the log */
bool dead[PROCS], refused[PROCS];
byte chain[PROCS + 1], by[PROCS];            /* who wrote each event; the same as planned */

inline tell_in() { d_step { assert(in[p] == 1); told = 1 } }
inline tell_not() { d_step { assert(in[p] == 0); refused[p] = 1; told = 1 } }

proctype process(byte p) {
    bool told, mine[PROCS], events; byte q, tries;
    {
    if
    :: atomic { lock == 0 -> lock = p + 1 }; box[p] = EMPTY; goto commit
    :: lock != 0 -> planned[p] = 0; box[p] = POSTED
    fi;
wait:
    if
    :: atomic { lock == 0 -> lock = p + 1 };
        if
        :: atomic { box[p] == POSTED -> box[p] = EMPTY }; goto commit
        :: box[p] == DONE -> box[p] = EMPTY; lock = 0; tell_in(); goto over
        :: box[p] == TAKEN ->                /* its taker is dead, or it would be answered */
#ifdef ASSUMED
            if :: 1 ->
#elif defined(AGAIN)
            if :: 0 ->
#else
            if :: planned[p] && newest >= plan[p] && (plan[p] == 0 || chain[plan[p]] == by[p]) ->
#endif
                box[p] = EMPTY; lock = 0; tell_in(); goto over
            :: else -> box[p] = EMPTY; goto commit
            fi
        fi
    :: box[p] == DONE -> box[p] = EMPTY; tell_in(); goto over /* nothing is owed: no lock */
    :: lock != 0 && tries < 2 -> tries++;    /* its time is over */
#ifdef WITHDRAW_BLIND
        if
        :: box[p] == POSTED -> box[p] = EMPTY; tell_not(); goto over
#else
        if
        :: atomic { box[p] == POSTED -> box[p] = EMPTY }; tell_not(); goto over
#endif
        :: box[p] == DONE -> box[p] = EMPTY; tell_in(); goto over
        :: box[p] == TAKEN && tries < 2 -> goto wait
        :: box[p] == TAKEN && tries == 2 -> goto over  /* told that nobody knows */
        fi
    fi;

commit:                                      /* the lock is ours */
    q = 0;
    do
    :: q < PROCS && q != p ->
        if :: d_step { box[q] == POSTED -> box[q] = TAKEN; mine[q] = 1 } :: 1 fi; q++
    :: q == p -> q++
    :: q == PROCS -> break
    od;
    skip;
    d_step {
        events = EVENTS(p); q = 0;
        do :: q < PROCS -> events = events || (mine[q] && EVENTS(q)); q++ :: else -> break od;
        q = 0
    };
#ifndef PLAN_LATE
    do
    :: q < PROCS && mine[q] -> plan[q] = newest + events;
        by[q] = (events -> p + 1 : chain[newest]); planned[q] = 1; q++
    :: q < PROCS && !mine[q] -> q++
    :: q == PROCS -> break
    od;
#endif
    skip;
    d_step {                                 /* all of it, or nothing */
        newest = newest + events; chain[newest] = (events -> p + 1 : chain[newest]);
        in[p]++; q = 0;
        do
        :: q < PROCS -> in[q] = in[q] + mine[q]; assert(in[q] <= 1 && !(mine[q] && refused[q])); q++
        :: else -> break
        od;
        assert(in[p] <= 1 && !refused[p]);
        q = 0
    };
#ifdef PLAN_LATE
    do
    :: q < PROCS && mine[q] -> plan[q] = newest; by[q] = chain[newest]; planned[q] = 1; q++
    :: q < PROCS && !mine[q] -> q++
    :: q == PROCS -> break
    od; q = 0;
#endif
    q = 0;
    do
    :: q < PROCS && mine[q] -> d_step { if :: box[q] == TAKEN -> box[q] = DONE :: else fi; q++ }
    :: q < PROCS && !mine[q] -> q++
    :: q == PROCS -> break
    od;
    lock = 0;
    tell_in();
over:
    skip
    } unless { dead[p] }
}

active proctype world() {
    byte k;
    atomic { k = 0; do :: k < PROCS -> run process(k); k++ :: else -> break od };
    do
    :: kills < KILLS ->
        if :: k = 0 :: k = 1 :: PROCS > 2 -> k = PROCS - 1 fi;
        d_step { kills++; dead[k] = 1; if :: lock == k + 1 -> lock = 0 :: else fi; k = 0 }
    od
}
