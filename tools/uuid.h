/* uuid.h - a UUID as text: 8-4-4-4-12 hexadecimal digits. */
#ifndef QT_UUID_H
#define QT_UUID_H

#include "out.h"

#include <stdint.h>

/* Print it. */
void qt_uuid_put_bare(struct qt_out *out, const uint8_t uuid[16]);

/* Print it in quotes. */
void qt_uuid_put(struct qt_out *out, const uint8_t uuid[16]);

/* Read a whole text. Returns: 0, or -1. */
int qt_uuid_parse(const char *text, uint8_t uuid[16]);

#endif
