/* clock.h - the two clocks of a measurement, in microseconds. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

/* Since some fixed moment; never set back. */
double bench_clock_us(void);

/* Processor time of this process, all threads, user and system. */
double bench_clock_cpu_us(void);

#endif
