/* pack.c - msgpack-c's own parser, through its template, with callbacks that keep what is asked
 * for.
 *
 * msgpack_unpack_next() would do, but it reserves memory for as many elements as a header of five
 * bytes announces. The template is the same parser without the objects behind it; a container that
 * announces more than there is just ends in the middle. It keeps 32 levels and refuses the 33rd.
 *
 * The macros below give the template its names; it calls on_map() when a map begins, and
 * on_map_item() with each pair when both are read:
 *
 *     map { "a": 1, "b": { "c": 2 } }
 *     on_map, outermost   on_str "a"   on_uint8 1   on_map_item: the outermost map's: compared
 *     on_str "b"   on_map    on_str "c"   on_uint8 2   on_map_item: of a nested map: passed over
 *     on_map_item "b" */
#include "pack.h"

#include <assert.h>
#include <msgpack/sysdep.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>
#include <string.h>

struct value {
    struct qp_member member;
    bool outermost; /* nothing had begun before it */
};

struct search {
    struct qp_bytes name;   /* NULL: only looking whether it is whole */
    bool entered;           /* the outermost value has begun */
    struct qp_member found; /* the last one of that name, OTHER as long as there is none */
};

#define msgpack_unpack_struct(name)       struct pack##name
#define msgpack_unpack_func(result, name) static inline result pack##name
#define msgpack_unpack_callback(name)     on##name
#define msgpack_unpack_object             struct value
#define msgpack_unpack_user               struct search

/* What the template calls is not all of one signature; each gets a value or an item. */
static inline struct value on_root(struct search *search)
{
    (void)search;
    return (struct value){0};
}

/* Every value comes through here when it begins, containers before what is in them. Returns 0: go
 * on. */
static inline int take(struct search *search, struct qp_member member, struct value *out)
{
    *out = (struct value){.member = member, .outermost = !search->entered};
    search->entered = true;
    return 0;
}

static inline int take_integer(struct search *search, int64_t integer, struct value *out)
{
    return take(
        search,
        (struct qp_member){.kind = QP_MEMBER_INTEGER, .integer = integer, .real = (double)integer},
        out);
}

static inline int take_real(struct search *search, double real, struct value *out)
{
    return take(search, (struct qp_member){.kind = QP_MEMBER_REAL, .real = real}, out);
}

static inline int on_uint8(struct search *search, uint8_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_uint16(struct search *search, uint16_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_uint32(struct search *search, uint32_t number, struct value *out)
{
    return take_integer(search, number, out);
}

/* Above INT64_MAX there is no i64: it stays a number, as a double. */
static inline int on_uint64(struct search *search, uint64_t number, struct value *out)
{
    if (number > INT64_MAX)
        return take_real(search, (double)number, out);
    return take_integer(search, (int64_t)number, out);
}

static inline int on_int8(struct search *search, int8_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_int16(struct search *search, int16_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_int32(struct search *search, int32_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_int64(struct search *search, int64_t number, struct value *out)
{
    return take_integer(search, number, out);
}

static inline int on_float(struct search *search, float number, struct value *out)
{
    return take_real(search, (double)number, out);
}

static inline int on_double(struct search *search, double number, struct value *out)
{
    return take_real(search, number, out);
}

static inline int on_nil(struct search *search, struct value *out)
{
    return take(search, (struct qp_member){0}, out);
}

static inline int on_true(struct search *search, struct value *out)
{
    return take(search, (struct qp_member){.kind = QP_MEMBER_BOOLEAN, .boolean = true}, out);
}

static inline int on_false(struct search *search, struct value *out)
{
    return take(search, (struct qp_member){.kind = QP_MEMBER_BOOLEAN}, out);
}

static inline int on_array(struct search *search, unsigned count, struct value *out)
{
    (void)count;
    return take(search, (struct qp_member){0}, out);
}

static inline int on_map(struct search *search, unsigned count, struct value *out)
{
    (void)count;
    return take(search, (struct qp_member){0}, out);
}

static inline int on_array_item(struct search *search, struct value *array, struct value item)
{
    (void)search;
    (void)array;
    (void)item;
    return 0;
}

static inline int on_map_item(struct search *search, struct value *map, struct value key,
                              struct value item)
{
    if (search->name.data == NULL || !map->outermost || key.member.kind != QP_MEMBER_TEXT)
        return 0;
    if (key.member.text_size == search->name.size &&
        memcmp(key.member.text, search->name.data, search->name.size) == 0)
        search->found = item.member;
    return 0;
}

/* With size 0 the template may hand out a pointer that it never set. */
static inline int on_str(struct search *search, const char *base, const char *at, unsigned size,
                         struct value *out)
{
    return take(
        search,
        (struct qp_member){.kind = QP_MEMBER_TEXT, .text = size > 0 ? at : base, .text_size = size},
        out);
}

static inline int on_bin(struct search *search, const char *base, const char *at, unsigned size,
                         struct value *out)
{
    (void)base;
    (void)at;
    (void)size;
    return take(search, (struct qp_member){0}, out);
}

/* `size` counts the type byte too: 0 means that the template's 32-bit sum has wrapped. */
static inline int on_ext(struct search *search, const char *base, const char *at, unsigned size,
                         struct value *out)
{
    (void)base;
    (void)at;
    if (size == 0)
        return -1;
    return take(search, (struct qp_member){0}, out);
}

#include <msgpack/unpack_template.h>

/* Run the template over the bytes. true: they are exactly one value (it says 1 when one has ended,
 * 0 when bytes are missing, less for what is malformed or too deep). */
static bool parse(struct qp_bytes bytes, struct search *search)
{
    struct pack_context context;
    size_t used = 0;
    int rc;

    if (bytes.size == 0)
        return false;
    context.user = *search;
    pack_init(&context);
    rc = pack_execute(&context, bytes.data, bytes.size, &used);
    *search = context.user; /* the template keeps a copy */
    return rc == 1 && used == bytes.size;
}

bool qp_pack_whole(const void *bytes, size_t size)
{
    struct search search = {0};

    return parse((struct qp_bytes){bytes, size}, &search) || QP_MUTANT(PACK_UNCHECKED);
}

/* What was found counts only when the whole has turned out to be one value. */
void qp_pack_member(struct qp_bytes map, struct qp_bytes name, struct qp_member *out)
{
    struct search search = {.name = name};
    bool whole = parse(map, &search);

    assert(name.data != NULL); /* or it would only have looked whether it is whole */
    *out = whole ? search.found : (struct qp_member){0};
}
