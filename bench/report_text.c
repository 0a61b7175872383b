/* report_text.c - the report for people. */
#include "report_form.h"
#include "text.h"

#include <string.h>

#define MIB 1048576.0

struct number {
    char text[32];
};

/* 1234567 as "1 234 567". */
static struct number grouped(double value)
{
    struct number number;
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%.0f", value < 1e15 ? value : 1e15);
    size_t used = 0;
    int i;

    for (i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            number.text[used] = ' ';
            used++;
        }
        number.text[used] = digits[i];
        used++;
    }
    number.text[used] = 0;
    return number;
}

/* The rest of a line that begins with its name. */
static void put_line(const struct bench_round *round)
{
    bench_text_put(stdout, " %10s %8.2f %6.2f %6.2f %8s %8s %9s", grouped(round->events_per_s).text,
                   round->seconds, round->close_seconds, round->cpu_seconds,
                   grouped(round->p50_us).text, grouped(round->p99_us).text,
                   grouped(round->max_us).text);
    bench_text_put(stdout, " %6.0f %8.1f %8.1f\n", round->disk_bytes_per_event,
                   round->rss_bytes / MIB, round->private_bytes / MIB);
    (void)fflush(stdout);
}

static void text_environment(const struct bench_options *options, const struct bench_env *env)
{
    char version[64];
    size_t i;
    int n;

    bench_text_put(stdout, "machine     %s, %ld processors, %.1f GiB; %s\n", env->cpu, env->cpus,
                   env->memory_bytes / MIB / 1024, env->kernel);
    bench_text_put(stdout, "disk        %s; a write of 4 KiB and its flush take %.0f us\n",
                   env->file_system, env->flush_us);
    bench_text_put(stdout, "durability  sync: what was acknowledged is on the disk\n");
    bench_text_put(stdout, "build       %s, compiler %s%s%s\n", env->build_type, env->compiler,
                   env->lmdb[0] != 0 ? ", lmdb " : "", env->lmdb);
    for (i = 0; i < options->system_count; i++) {
        options->systems[i]->version(version, sizeof(version));
        bench_text_put(stdout, "%-11s %s; %s\n", options->systems[i]->name, version,
                       options->systems[i]->settings);
    }
    for (n = 0; n < env->warning_count; n++)
        bench_text_put(stdout, "WARNING     %s\n", env->warnings[n]);
    (void)fflush(stdout);
}

static void text_workload(const struct bench_options *options,
                          const struct bench_workload *workload)
{
    const struct bench_plan *plan = &options->plan;

    bench_text_put(stdout, "\n%s: %s\n", workload->name, workload->about);
    bench_text_put(stdout, "%s events in %s streams, ", grouped((double)plan->events).text,
                   grouped((double)plan->streams).text);
    bench_text_put(stdout, "%s bytes each, %s a commit, seed %llu\n\n",
                   grouped((double)plan->size).text, grouped((double)plan->batch).text,
                   (unsigned long long)plan->seed);
    bench_text_put(stdout, "%-7s %-8s %10s %8s %6s %6s %8s %8s %9s", "round", "system", "events/s",
                   "seconds", "close", "cpu s", "p50 us", "p99 us", "max us");
    bench_text_put(stdout, " %6s %8s %8s\n", "B/ev", "peak MiB", "heap MiB");
}

static void text_round(const struct bench_options *options, const struct bench_workload *workload,
                       const struct bench_peer *peer, uint64_t number,
                       const struct bench_round *round)
{
    (void)options;
    (void)workload;
    bench_text_put(stdout, "%-7llu %-8s", (unsigned long long)number, peer->name);
    put_line(round);
}

static void put_speed(const struct bench_peer *peer, const struct bench_spread *speed)
{
    bench_text_put(stdout, "%-16s %s events/s (%s .. %s)\n", peer->name,
                   grouped(speed->median).text, grouped(speed->min).text, grouped(speed->max).text);
}

static void put_ratio(const struct bench_peer *quipu, const struct bench_peer *peer,
                      const struct bench_spread *ratio)
{
    char names[64];

    bench_text_set(names, sizeof(names), "%s / %s", quipu->name, peer->name);
    bench_text_put(stdout, "%-16s %.2f (%.2f .. %.2f round by round)\n", names, ratio->median,
                   ratio->min, ratio->max);
}

static void text_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_summary *summaries)
{
    size_t i;

    (void)workload;
    bench_text_put(stdout, "\n");
    for (i = 0; i < options->system_count; i++) {
        bench_text_put(stdout, "%-7s %-8s", "median", options->systems[i]->name);
        put_line(&summaries[i].median);
    }
    bench_text_put(stdout, "\n");
    for (i = 0; i < options->system_count; i++)
        put_speed(options->systems[i], &summaries[i].events_per_s);
    for (i = 1; i < options->system_count; i++)
        put_ratio(options->systems[0], options->systems[i], &summaries[i].ratio);
}

const struct bench_form bench_form_text = {
    .environment = text_environment,
    .workload = text_workload,
    .round = text_round,
    .summary = text_summary,
};
