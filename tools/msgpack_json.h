/* msgpack_json.h - msgpack as JSON for people. The exact bytes are printed beside it, as base64. */
#ifndef QT_MSGPACK_JSON_H
#define QT_MSGPACK_JSON_H

#include "bytes.h"

#include <stddef.h>

/* Append the JSON text of one whole msgpack value to `out`.
 *
 * What JSON has no form for is shown as a text: a name that is no text by its value, binary data
 * and extensions by base64, NaN and the infinities by their names.
 *
 * Returns: 0; -1 if `data` is not one whole value, is too deep, or memory is out. */
int qt_msgpack_json(const void *data, size_t size, struct qt_bytes *out);

#endif
