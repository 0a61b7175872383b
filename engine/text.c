/* text.c - names are compared as bytes; here they are looked at as text once, when they come in.
 * Nothing is normalised and no case is folded: two names are one if their bytes are. */
#include "text.h"

#include "status.h"

#include <assert.h>
#include <string.h>

/* Bytes that the sequence at `at` has, 0 if it is malformed. After Unicode's table 3-7: a lead byte
 * says how many follow, and four of them narrow the second byte's range, which keeps out what could
 * be written shorter (e0, f0), surrogates (ed), and what is beyond U+10FFFF (f4). */
static size_t sequence(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t size;

    assert(left > 0);
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        size = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
        size = 3;
    else if (lead >= 0xf0 && lead <= 0xf4)
        size = 4;
    else
        return 0;
    if (left < size)
        return 0;

    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    return size;
}

/* Eight bytes at a time as long as they are ASCII, which payloads mostly are. */
static size_t ascii_run(const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    uint64_t eight;

    while (size - done >= 8) {
        memcpy(&eight, bytes + done, 8);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
        done += 8;
    }
    assert(done <= size && done % 8 == 0);
    return done;
}

bool qp_text_utf8(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    size_t done = 0;

    while (done < size) {
        size_t step = ascii_run(at + done, size - done);

        if (step == 0)
            step = sequence(at + done, size - done);
        if (step == 0)
            return false;
        done += step;
        assert(done <= size);
    }
    return true;
}

/* C0 and DEL are one byte each; C1 is c2 80 to c2 9f, and c2 is a lead byte wherever it stands in
 * what is known to be UTF-8. */
static bool has_control(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)name[i];

        if (byte < 0x20 || byte == 0x7f)
            return true;
        if (byte == 0xc2 && i + 1 < size && (uint8_t)name[i + 1] < 0xa0)
            return true; /* U+0080 to U+009F */
    }
    return false;
}

/* No more than max + 1 bytes are looked at: a name without its 0 is a caller's mistake that may be
 * long. UTF-8 before control characters, because they are found by its lead bytes. */
int qp_text_name(const char *name, size_t max, const char *what, size_t *size, quipu_error *error)
{
    if (name == NULL)
        return qp_fail(error, QUIPU_MISUSE, "%s is NULL", what);
    *size = strnlen(name, max + 1);
    if (*size == 0)
        return qp_fail(error, QUIPU_INVALID, "%s is empty", what);
    if (*size > max)
        return qp_fail(error, QUIPU_TOO_LARGE, "%s is over %zu bytes", what, max);
    if (!qp_text_utf8(name, *size))
        return qp_fail(error, QUIPU_INVALID, "%s is not UTF-8", what);
    if (has_control(name, *size))
        return qp_fail(error, QUIPU_INVALID, "%s has a control character", what);
    return QUIPU_OK;
}

int qp_text_tag(const char *tag, size_t *size, quipu_error *error)
{
    int rc = qp_text_name(tag, QP_NAME_MAX, "a tag", size, error);
    const char *colon = rc == QUIPU_OK ? strchr(tag, ':') : NULL;

    if (rc < 0)
        return rc;
    if (colon == NULL || colon == tag || colon[1] == '\0')
        return qp_fail(error, QUIPU_INVALID, "a tag is not key:value: %.60s", tag);
    return QUIPU_OK;
}

size_t qp_text_category(const char *stream, size_t size)
{
    const char *dash = memchr(stream, '-', size);

    assert(size > 0);
    if (dash == NULL || dash == stream)
        return size;
    return (size_t)(dash - stream);
}
