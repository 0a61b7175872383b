/* report_json.c - the report for programs: a row of JSON a line. */
#include "cold.h"
#include "report_form.h"
#include "text.h"

static void put_text(FILE *out, const char *text)
{
    const char *c;

    (void)fputc('"', out);
    for (c = text; *c != 0; c++) {
        if (*c == '"' || *c == '\\')
            (void)fputc('\\', out);
        (void)fputc((unsigned char)*c < ' ' ? ' ' : *c, out);
    }
    (void)fputc('"', out);
}

static void put_member(FILE *out, const char *name, const char *text)
{
    bench_text_put(out, "\"%s\":", name);
    put_text(out, text);
    (void)fputc(',', out);
}

static void json_environment(const struct bench_options *options, const struct bench_env *env)
{
    char version[64];
    size_t i;
    int n;

    bench_text_put(stderr, "{\"environment\":{");
    put_member(stderr, "cpu", env->cpu);
    bench_text_put(stderr, "\"cpus\":%ld,\"memory_bytes\":%.0f,", env->cpus, env->memory_bytes);
    put_member(stderr, "kernel", env->kernel);
    put_member(stderr, "file_system", env->file_system);
    bench_text_put(stderr, "\"flush_us\":%.1f,\"durability\":\"sync\",", env->flush_us);
    put_member(stderr, "build_type", env->build_type);
    put_member(stderr, "compiler", env->compiler);
    put_member(stderr, "lmdb", env->lmdb);
    bench_text_put(stderr, "\"systems\":[");
    for (i = 0; i < options->system_count; i++) {
        const struct bench_peer *peer = options->systems[i];

        peer->version(version, sizeof(version));
        bench_text_put(stderr, "%s{", i > 0 ? "," : "");
        put_member(stderr, "system", peer->name);
        put_member(stderr, "version", version);
        bench_text_put(stderr, "\"settings\":");
        put_text(stderr, peer->settings);
        (void)fputc('}', stderr);
    }
    bench_text_put(stderr, "],\"warnings\":[");
    for (n = 0; n < env->warning_count; n++) {
        (void)fputs(n > 0 ? "," : "", stderr);
        put_text(stderr, env->warnings[n]);
    }
    bench_text_put(stderr, "]}}\n");
}

static void json_workload(const struct bench_options *options,
                          const struct bench_workload *workload)
{
    (void)options; /* every row says it */
    (void)workload;
}

static void json_store(const struct bench_options *options, const struct bench_peer *peer,
                       double seconds)
{
    bench_text_put(stderr, "{\"store\":{\"system\":\"%s\",\"events\":%llu,\"seconds\":%.6f}}\n",
                   peer->name, (unsigned long long)options->plan.events, seconds);
}

/* A row up to, and without, its closing brace. `key` is "round" or "median". */
static void row_begin(const struct bench_options *options, const struct bench_workload *workload,
                      const struct bench_peer *peer, const char *key, uint64_t value)
{
    const struct bench_plan *plan = &options->plan;

    bench_text_put(stdout, "{\"workload\":\"%s\",", workload->name);
    if (workload->variant[0] != 0)
        put_member(stdout, "variant", workload->variant);
    bench_text_put(stdout, "\"system\":\"%s\",\"%s\":%llu", peer->name, key,
                   (unsigned long long)value);
    bench_text_put(stdout, ",\"events\":%llu,\"streams\":%llu,\"size\":%llu,\"batch\":%llu",
                   (unsigned long long)plan->events, (unsigned long long)plan->streams,
                   (unsigned long long)plan->size,
                   (unsigned long long)(workload->of_crew ? 1 : plan->batch));
    bench_text_put(stdout, ",\"seed\":%llu,\"ids\":\"%s\",\"durability\":\"sync\"",
                   (unsigned long long)plan->seed, bench_ids_name(plan->ids));
    if (!workload->of_crew)
        bench_text_put(stdout, ",\"threads\":1,\"processes\":1");
    if (workload->kind == BENCH_RECOVER)
        bench_text_put(stdout, ",\"tail\":%llu", (unsigned long long)plan->tail);
    if (workload->kind == BENCH_COLD)
        bench_text_put(stdout, ",\"dropped_by\":\"%s\"", bench_cold_how(plan->files_only));
}

static void row_fields(const struct bench_workload *workload, const struct bench_round *round)
{
    size_t i;

    for (i = 0; i < BENCH_FIELD_COUNT; i++) {
        if ((bench_fields[i].kinds & workload->kind) == 0)
            continue;
        bench_text_put(stdout, ",\"%s\":%.*f", bench_fields[i].name, bench_fields[i].decimals,
                       bench_field_get(round, &bench_fields[i]));
    }
}

static void row_spread(const char *name, const struct bench_spread *spread, int decimals)
{
    bench_text_put(stdout, ",\"%s_min\":%.*f,\"%s_max\":%.*f", name, decimals, spread->min, name,
                   decimals, spread->max);
}

static void row_end(void)
{
    bench_text_put(stdout, "}\n");
    (void)fflush(stdout);
}

static void json_round(const struct bench_options *options, const struct bench_workload *workload,
                       const struct bench_peer *peer, uint64_t number,
                       const struct bench_round *round)
{
    row_begin(options, workload, peer, "round", number);
    row_fields(workload, round);
    row_end();
    if (round->cached_share > BENCH_COLD_SHARE_MAX) {
        bench_text_put(stderr, "quipu-bench: %s: not cold: %.0f %% stayed in the page cache\n",
                       peer->name, round->cached_share * 100);
    }
}

static void json_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_summary *summaries)
{
    const struct bench_field *main = bench_field_main(workload);
    const char *ratio = (workload->kind & BENCH_BY_SPEED) != 0 ? "quipu_ratio" : "quipu_time_ratio";
    size_t i;

    for (i = 0; i < options->system_count; i++) {
        const struct bench_summary *own = &summaries[i];

        row_begin(options, workload, options->systems[i], "median", options->rounds);
        row_fields(workload, &own->median);
        row_spread(main->name, &own->main, main->decimals);
        if (i > 0) {
            bench_text_put(stdout, ",\"%s\":%.4f", ratio, own->ratio.median);
            row_spread(ratio, &own->ratio, 4);
        }
        row_end();
    }
}

static void json_shape(const struct bench_plan *plan, const struct bench_plan *base,
                       const struct bench_spread *ratio)
{
    (void)plan; /* the rows say it */
    (void)base;
    (void)ratio;
}

const struct bench_form bench_form_json = {
    .environment = json_environment,
    .workload = json_workload,
    .store = json_store,
    .round = json_round,
    .summary = json_summary,
    .shape = json_shape,
};
