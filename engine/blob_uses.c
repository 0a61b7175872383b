/* blob_uses.c - the numbers of long values as rows come, sorted once they are asked for. */
#include "blob_uses.h"

#include "memory.h"
#include "status.h"

#include <stdlib.h>

void qp_blob_uses_release(struct qp_blob_uses *uses)
{
    qp_free(uses->numbers);
    *uses = (struct qp_blob_uses){0};
}

int qp_blob_uses_add(struct qp_blob_uses *uses, uint64_t number, quipu_error *error)
{
    if (number == 0)
        return QUIPU_OK;
    if (!qp_array_reserve(&uses->numbers, &uses->capacity, uses->count + 1, sizeof(*uses->numbers)))
        return qp_fail_memory(error);
    uses->numbers[uses->count++] = number;
    return QUIPU_OK;
}

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;

    return (*a > *b) - (*a < *b);
}

uint64_t qp_blob_uses_shared(struct qp_blob_uses *uses, size_t *at)
{
    const uint64_t *numbers = uses->numbers;

    if (*at == 0 && uses->count > 0)
        qsort(uses->numbers, uses->count, sizeof(*uses->numbers), by_number);
    while (*at < uses->count) {
        size_t first = *at;

        while (*at < uses->count && numbers[*at] == numbers[first])
            ++*at;
        if (*at - first > 1)
            return numbers[first];
    }
    return 0;
}
