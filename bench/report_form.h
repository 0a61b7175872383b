/* report_form.h - what a form of the report is: inside of report_*.c only. */
#ifndef BENCH_REPORT_FORM_H
#define BENCH_REPORT_FORM_H

#include "report.h"
#include "stats.h"

/* The runs of one system boiled down. */
struct bench_summary {
    struct bench_round median; /* each field's own */
    struct bench_spread main;  /* of the field by which systems are compared */
    struct bench_spread ratio; /* Quipu's over this system's: of the medians, and per round */
};

struct bench_form {
    void (*environment)(const struct bench_options *options, const struct bench_env *env);
    void (*workload)(const struct bench_options *options, const struct bench_workload *workload);
    void (*store)(const struct bench_options *options, const struct bench_peer *peer,
                  double seconds);
    void (*round)(const struct bench_options *options, const struct bench_workload *workload,
                  const struct bench_peer *peer, uint64_t number, const struct bench_round *round);

    /* `summaries` has one for each of the options' systems. */
    void (*summary)(const struct bench_options *options, const struct bench_workload *workload,
                    const struct bench_summary *summaries);

    /* The crew of `plan` was so much faster than that of `base`, round by round. */
    void (*shape)(const struct bench_plan *plan, const struct bench_plan *base,
                  const struct bench_spread *ratio);
};

extern const struct bench_form bench_form_text;
extern const struct bench_form bench_form_json;

/* A field of struct bench_round, for code that goes through all of them. */
struct bench_field {
    const char *name;
    size_t offset;
    int decimals;
    unsigned kinds; /* the bench_kinds of workloads that have it */

    /* As a column for people; NULL: none. */
    const char *title;
    int width;
    int title_decimals;
    double scale; /* how much of it is one of the column's unit */
};

enum { BENCH_FIELD_COUNT = 20 };
extern const struct bench_field bench_fields[BENCH_FIELD_COUNT];

double bench_field_get(const struct bench_round *round, const struct bench_field *field);

/* The field by which systems are compared: see enum bench_kind. */
const struct bench_field *bench_field_main(const struct bench_workload *workload);

#endif
