/* memory.c - reads /proc/self. */
#include "memory.h"

#include "text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 256 };

void bench_memory_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "5", 1) != 1) /* proc(5): 5 resets the peak, and nothing else */
        bench_text_put(stderr, "quipu-bench: peak memory counts from the process's start\n");
    close(fd);
}

static void take(const char *line, const char *name, uint64_t *out)
{
    size_t size = strlen(name);

    if (strncmp(line, name, size) == 0)
        *out = strtoull(line + size, NULL, 10) * 1024;
}

void bench_memory_read(struct bench_memory *out)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[LINE_BYTES_MAX];

    memset(out, 0, sizeof(*out));
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        take(line, "VmRSS:", &out->resident);
        take(line, "VmHWM:", &out->resident_peak);
        take(line, "RssAnon:", &out->private_bytes);
    }
    (void)fclose(file);
}
