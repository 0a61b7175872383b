/* workload.c - the list of workloads. */
#include "workload.h"

static const struct bench_workload *const workloads[] = {&bench_workload_bulk_load};

const struct bench_workload *bench_workload_at(size_t n)
{
    return n < sizeof(workloads) / sizeof(workloads[0]) ? workloads[n] : NULL;
}
