/* walk.c - from a meta page down to every leaf, by numbers that may all be wrong.
 *
 *     meta --> free list   --> leaves: transaction -> numbers of the pages that it gave up
 *          \-> tables      --> leaves: name -> record of a table --> ... its leaves
 *                                                                    `-> runs of overflow pages
 *
 * Rules of a page: nobody else has led to it, it has its own number and the type of its level; its
 * nodes lie side by side from `upper` to its end, and none shares a byte with another; its keys
 * ascend, and lie between those of the branches above it. Each number is checked before it is
 * followed, and a page that breaks a rule is not: so every loop ends, since a page is entered once.
 *
 * A finding does not end the walk. What was to be counted below a page that is wrong is not held
 * against the table's record: one mistake is told once. */
#include "walk.h"

#include "key.h"
#include "memory.h"
#include "status.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FREE_LIST "free list" /* what findings call LMDB's own two tables, which have no names */
#define TABLES    "tables"

enum {
    STOP = 2, /* besides OK and ROW: `stopped` says what the walk returns */
    NAME_BYTES = 64,
    BLOCK_PAGES = 1 << 18, /* a block of the bitmap: 32 KiB, for 1 GiB of pages of 4 KiB */
    ROWS_PER_LEAF = 2      /* as many must fit: what is longer has its value elsewhere */
};

enum kind { KIND_FREE_LIST, KIND_TABLES, KIND_NAMED };

struct named {
    char name[NAME_BYTES];
    struct qp_page_tree tree;
};

/* A page on the way from the root to where the walk is. */
struct level {
    uint64_t number;
    uint8_t *page;
    size_t count; /* of its nodes */
    size_t next;  /* node to be followed */
};

struct walk {
    const struct qp_walk_file *file;
    qp_walk_found_fn found;
    void *payload;
    struct qp_walked *out;
    quipu_error *error;
    int stopped;
    size_t page_bytes;
    uint64_t last_page;
    uint64_t transaction;
    uint8_t **reached;      /* blocks of bits, made when a page in one is reached */
    uint64_t reached_pages; /* bits that are set */
    uint8_t *pages;         /* for the levels, and one for what is read beside them */
    struct level levels[QP_PAGE_DEPTH_MAX];
    struct named named[QP_WALK_TABLES_MAX];
    size_t named_count;
    size_t odd_rows; /* of the table of tables: no tables, or too many */

    /* of the table that is walked */
    const char *table;
    enum kind kind;
    bool integer_key;
    struct qp_page_tree seen; /* counted */
};

/* ---- telling ---- */

static int stop(struct walk *walk, int with)
{
    walk->stopped = with;
    return STOP;
}

static int tell(struct walk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns: OK: go on without what is wrong; STOP. */
static int tell(struct walk *walk, const char *format, ...)
{
    char text[200];
    va_list values;
    int rc;

    va_start(values, format);
    (void)vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    walk->out->findings++;
    rc = walk->found(walk->payload, walk->table, text);
    if (rc == QUIPU_OK && walk->out->findings < QP_WALK_FINDINGS_MAX)
        return QUIPU_OK;
    if (rc == QUIPU_OK)
        rc = walk->found(walk->payload, "", "so much is wrong that the rest was not looked at");
    return stop(walk, rc);
}

/* ---- pages that were reached ---- */

static int read_at(struct walk *walk, uint64_t page, size_t offset, void *bytes, size_t size)
{
    int rc;

    assert(page <= walk->last_page);
    rc = walk->file->read(walk->file->payload, page * walk->page_bytes + offset, bytes, size,
                          walk->error);
    return rc == QUIPU_OK ? QUIPU_OK : stop(walk, rc);
}

/* Returns: ROW: nobody led to it before; OK: it was told why not. */
static int reach(struct walk *walk, uint64_t page, const char *from, uint64_t from_number)
{
    uint8_t **block;
    uint8_t bit = (uint8_t)(1U << page % 8);
    size_t byte = page % BLOCK_PAGES / 8;

    if (page < QP_PAGE_METAS || page > walk->last_page)
        return tell(walk, "%s %" PRIu64 " leads to page %" PRIu64 ", and the last one is %" PRIu64,
                    from, from_number, page, walk->last_page);
    block = &walk->reached[page / BLOCK_PAGES];
    if (*block == NULL) {
        *block = qp_zalloc(BLOCK_PAGES / 8);
        if (*block == NULL)
            return stop(walk, qp_fail_memory(walk->error));
    }
    if (((*block)[byte] & bit) != 0 && !QP_MUTANT(PAGE_TWICE))
        return tell(walk, "%s %" PRIu64 " leads to page %" PRIu64 ", which is in use elsewhere",
                    from, from_number, page);
    (*block)[byte] |= bit;
    walk->reached_pages++;
    return QUIPU_ROW;
}

/* ---- runs of overflow pages ---- */

/* Returns: ROW: its pages are there and nobody else's; OK: it was told why not. */
static int enter_run(struct walk *walk, uint64_t page, const struct qp_page_node *node)
{
    uint8_t bytes[QP_PAGE_HEADER_BYTES];
    struct qp_page_header header;
    uint64_t first = node->child;
    uint64_t size = QP_PAGE_HEADER_BYTES + (uint64_t)node->value_size;
    int rc = reach(walk, first, "page", page);

    if (rc != QUIPU_ROW)
        return rc;
    rc = read_at(walk, first, 0, bytes, sizeof(bytes));
    if (rc != QUIPU_OK)
        return rc;
    qp_page_header_read(bytes, &header);
    if (header.number != first || header.flags != QP_PAGE_OVERFLOW)
        return tell(walk, "page %" PRIu64 " is no overflow page of page %" PRIu64, first, page);
    if (header.run == 0 || header.run - 1 > walk->last_page - first ||
        size > header.run * (uint64_t)walk->page_bytes) {
        return tell(walk,
                    "page %" PRIu64 " is the first of %" PRIu32 " that hold %" PRIu32
                    " bytes, and the last page is %" PRIu64,
                    first, header.run, node->value_size, walk->last_page);
    }
    rc = QUIPU_ROW;
    for (uint64_t i = 1; i < header.run && rc == QUIPU_ROW; i++)
        rc = reach(walk, first + i, "the run of page", first);
    walk->seen.overflows += header.run;
    return rc;
}

/* ---- the free list ---- */

/* A value of it: how many, then page numbers in descending order; behind them may be room. */
struct free_record {
    uint64_t transaction;
    uint64_t count;
    uint64_t before; /* the number that came last */
};

static int check_free_number(struct walk *walk, struct free_record *record, uint64_t page)
{
    int rc;

    if (page >= record->before)
        return tell(walk, "record %" PRIu64 ": page %" PRIu64 " follows page %" PRIu64,
                    record->transaction, page, record->before);
    record->before = page;
    rc = reach(walk, page, "record", record->transaction);
    if (rc == QUIPU_ROW)
        walk->out->free_pages++;
    return rc;
}

/* Some numbers of a record. Returns: ROW: all are right; OK: it was told. */
static int check_free_numbers(struct walk *walk, struct free_record *record, const uint8_t *at,
                              uint64_t count)
{
    int rc = QUIPU_ROW;

    for (uint64_t i = 0; i < count && rc == QUIPU_ROW; i++)
        rc = check_free_number(walk, record, qp_get_u64(at + 8 * i));
    return rc;
}

/* A value that stands on pages of its own is read in pieces: it may be as long as the file. */
static int check_free_run(struct walk *walk, struct free_record *record, uint64_t first)
{
    uint8_t *piece = walk->pages + QP_PAGE_DEPTH_MAX * walk->page_bytes;
    uint64_t done = 0;
    int rc = QUIPU_ROW;

    while (done < record->count && rc == QUIPU_ROW) {
        uint64_t count = record->count - done;

        if (count > walk->page_bytes / 8)
            count = walk->page_bytes / 8;
        rc = read_at(walk, first, QP_PAGE_HEADER_BYTES + 8 * (1 + (size_t)done), piece,
                     (size_t)count * 8);
        if (rc == QUIPU_OK)
            rc = check_free_numbers(walk, record, piece, count);
        done += count;
    }
    return rc;
}

/* Its key is the transaction that gave the pages up. */
static int check_free_record(struct walk *walk, uint64_t page, const struct qp_page_node *node)
{
    struct free_record record = {.transaction = qp_get_u64(node->key.data), .before = UINT64_MAX};
    bool big = (node->flags & QP_NODE_BIG) != 0;
    uint8_t count[8] = {0};
    int rc = QUIPU_OK;

    if (record.transaction == 0 || record.transaction > walk->transaction) {
        return tell(walk,
                    "page %" PRIu64 " has a record of transaction %" PRIu64
                    ", and the newest is %" PRIu64,
                    page, record.transaction, walk->transaction);
    }
    if (node->value_size >= sizeof(count)) {
        if (big)
            rc = read_at(walk, node->child, QP_PAGE_HEADER_BYTES, count, sizeof(count));
        else
            memcpy(count, node->value, sizeof(count));
    }
    if (rc != QUIPU_OK)
        return rc;
    record.count = qp_get_u64(count);
    if (node->value_size < 8 || node->value_size % 8 != 0 ||
        record.count > node->value_size / 8 - 1)
        return tell(walk, "record %" PRIu64 ": %" PRIu64 " pages do not fit into %" PRIu32 " bytes",
                    record.transaction, record.count, node->value_size);
    rc = big ? check_free_run(walk, &record, node->child)
             : check_free_numbers(walk, &record, node->value + 8, record.count);
    return rc == QUIPU_ROW ? QUIPU_OK : rc;
}

/* ---- rows ---- */

/* A row of the table of tables. One that is no table, or one too many, is only counted here: it is
 * told when it is known that the file is Quipu's. */
static void take_table(struct walk *walk, const struct qp_page_node *node)
{
    struct named *named = &walk->named[walk->named_count];

    if (node->flags != QP_NODE_TABLE || node->value_size != QP_PAGE_TREE_BYTES ||
        walk->named_count == QP_WALK_TABLES_MAX) {
        walk->odd_rows++;
        return;
    }
    qp_key_text(node->key, named->name, sizeof(named->name));
    qp_page_tree_read(node->value, &named->tree);
    walk->named_count++;
}

/* The values of a leaf whose nodes and keys are right. */
static int check_values(struct walk *walk, const struct level *level)
{
    const size_t room = walk->page_bytes - QP_PAGE_HEADER_BYTES;
    const size_t node_max = (room / ROWS_PER_LEAF & ~(size_t)1) - 2;
    int rc = QUIPU_OK;

    for (size_t i = 0; i < level->count && rc == QUIPU_OK; i++) {
        struct qp_page_node node = {0};
        uint64_t page = level->number;
        bool big;

        (void)qp_page_node_read(level->page, walk->page_bytes, i, false, &node);
        big = node.flags == QP_NODE_BIG;
        walk->seen.entries++;
        if (walk->kind == KIND_TABLES) {
            take_table(walk, &node);
            continue;
        }
        if (node.flags != 0 && !big) {
            rc = tell(walk, "page %" PRIu64 ": row %zu has flags %x", page, i, node.flags);
            continue;
        }
        if (node.size > node_max) {
            rc = tell(walk, "page %" PRIu64 ": row %zu is too long for a leaf", page, i);
            continue;
        }
        rc = big ? enter_run(walk, page, &node) : QUIPU_ROW;
        if (rc == QUIPU_ROW)
            rc = walk->kind == KIND_FREE_LIST ? check_free_record(walk, page, &node) : QUIPU_OK;
    }
    return rc;
}

/* ---- trees ---- */

/* The key of a node that was checked. */
static struct qp_bytes key_at(const struct walk *walk, const struct level *level, size_t index)
{
    struct qp_page_node node = {0};
    bool whole = qp_page_node_read(level->page, walk->page_bytes, index, true, &node);

    assert(whole);
    (void)whole;
    return node.key;
}

/* Between which keys must those of a page at `depth` lie? On each side it is the key of the nearest
 * branch above that has one there: a branch's first node has none, its last no next one. */
static void find_bounds(const struct walk *walk, size_t depth, struct qp_page_rules *rules)
{
    for (size_t i = depth; i-- > 0;) {
        const struct level *level = &walk->levels[i];

        assert(level->next < level->count);
        if (rules->low.data == NULL && level->next > 0)
            rules->low = key_at(walk, level, level->next);
        if (rules->high.data == NULL && level->next + 1 < level->count)
            rules->high = key_at(walk, level, level->next + 1);
    }
}

/* In the free list LMDB leaves branches that have one child; in another table it dies of one.
 * Returns: ROW: the page can be worked with; OK: what is wrong was told. */
static int check_page(struct walk *walk, struct level *level, size_t depth, bool branch)
{
    struct qp_page_rules rules = {
        .number = level->number,
        .branch = branch,
        .integer_key = walk->integer_key,
        .count_min = branch && walk->kind != KIND_FREE_LIST ? 2 : 1,
    };
    const char *wrong;

    find_bounds(walk, depth, &rules);
    wrong = qp_page_wrong(level->page, walk->page_bytes, &rules, &level->count);
    if (wrong != NULL)
        return tell(walk, "page %" PRIu64 ": %s", level->number, wrong);
    if (branch)
        walk->seen.branches++;
    else
        walk->seen.leaves++;
    return QUIPU_ROW;
}

/* Read a page into its level, and check it. Returns: ROW: it is a branch, to be followed; OK:
 * nothing is to be followed. */
static int enter(struct walk *walk, uint64_t page, size_t depth, size_t depth_max, uint64_t from)
{
    struct level *level = &walk->levels[depth];
    bool branch = depth + 1 < depth_max;
    int rc = reach(walk, page, "page", from);

    if (rc != QUIPU_ROW)
        return rc;
    level->number = page;
    level->page = walk->pages + depth * walk->page_bytes;
    level->next = 0;
    rc = read_at(walk, page, 0, level->page, walk->page_bytes);
    if (rc == QUIPU_OK)
        rc = check_page(walk, level, depth, branch);
    if (rc != QUIPU_ROW || branch)
        return rc;
    return check_values(walk, level);
}

/* From the root to the leaves and back, branch by branch. */
static int walk_tree(struct walk *walk, const struct qp_page_tree *tree)
{
    size_t depth = 0;
    int rc = enter(walk, tree->root, 0, tree->depth, 0);

    if (rc != QUIPU_ROW)
        return rc;
    for (;;) {
        struct level *level = &walk->levels[depth];
        struct qp_page_node node = {0};

        if (level->next == level->count) {
            if (depth == 0)
                return QUIPU_OK;
            walk->levels[--depth].next++;
            continue;
        }
        (void)qp_page_node_read(level->page, walk->page_bytes, level->next, true, &node);
        rc = enter(walk, node.child, depth + 1, tree->depth, level->number);
        if (rc == QUIPU_ROW)
            depth++;
        else if (rc == QUIPU_OK)
            level->next++;
        else
            return rc;
    }
}

/* What the table's record says, against what was counted. */
static int check_counts(struct walk *walk, const struct qp_page_tree *tree)
{
    const struct {
        const char *what;
        uint64_t stored;
        uint64_t seen;
    } counts[] = {{"branches", tree->branches, walk->seen.branches},
                  {"leaves", tree->leaves, walk->seen.leaves},
                  {"overflow pages", tree->overflows, walk->seen.overflows},
                  {"rows", tree->entries, walk->seen.entries}};
    int rc = QUIPU_OK;

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && rc == QUIPU_OK; i++) {
        if (counts[i].stored != counts[i].seen && !QP_MUTANT(PAGES_UNCOUNTED))
            rc = tell(walk, "it has %" PRIu64 " %s, and its record says %" PRIu64, counts[i].seen,
                      counts[i].what, counts[i].stored);
    }
    return rc;
}

/* One table, from its record. */
static int walk_table(struct walk *walk, const char *name, enum kind kind, uint16_t flags,
                      const struct qp_page_tree *tree)
{
    uint64_t findings = walk->out->findings;
    uint32_t pad = kind == KIND_FREE_LIST ? (uint32_t)walk->page_bytes : 0;
    int rc = QUIPU_OK;

    walk->table = name;
    walk->kind = kind;
    walk->integer_key = (flags & QP_PAGE_INTEGER_KEY) != 0;
    walk->seen = (struct qp_page_tree){0};
    if (tree->flags != flags || tree->pad != pad)
        return tell(walk, "its flags are %x and %x, and they must be %x and %x", tree->flags,
                    tree->pad, flags, pad);
    if (tree->depth > QP_PAGE_DEPTH_MAX || (tree->depth == 0) != (tree->root == QP_PAGE_NONE))
        return tell(walk, "its root is page %" PRIu64 " with %u levels", tree->root, tree->depth);
    if (tree->depth > 0)
        rc = walk_tree(walk, tree);
    if (rc == QUIPU_OK && walk->out->findings == findings)
        rc = check_counts(walk, tree);
    return rc;
}

/* ---- all of it ---- */

static const struct qp_walk_table *find_table(const struct qp_walk_table *tables, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tables[i].name, name) == 0)
            return &tables[i];
    return NULL;
}

static bool is_named(const struct walk *walk, const char *name)
{
    for (size_t i = 0; i < walk->named_count; i++)
        if (strcmp(walk->named[i].name, name) == 0)
            return true;
    return false;
}

/* The tables that must be there. If less than half of them are, it is somebody else's file. */
static int check_names(struct walk *walk, const struct qp_walk_table *tables, size_t count)
{
    size_t there = 0;
    int rc = QUIPU_OK;

    for (size_t i = 0; i < count; i++)
        there += is_named(walk, tables[i].name);
    walk->out->foreign = there < (count + 1) / 2;
    if (walk->out->foreign)
        return QUIPU_OK;
    for (size_t i = 0; i < count && rc == QUIPU_OK; i++)
        if (!is_named(walk, tables[i].name))
            rc = tell(walk, "there is no table %s", tables[i].name);
    if (rc == QUIPU_OK && walk->odd_rows > 0)
        rc = tell(walk, "there are %zu rows that are no tables", walk->odd_rows);
    return rc;
}

static int walk_all(struct walk *walk, const struct qp_page_meta *meta,
                    const struct qp_walk_table *tables, size_t count)
{
    uint16_t free_flags =
        QP_PAGE_INTEGER_KEY | (meta->free_list.flags & (uint16_t)QP_PAGE_NO_DIRECTORY);
    int rc = walk_table(walk, TABLES, KIND_TABLES, 0, &meta->tables);

    if (rc == QUIPU_OK && walk->out->findings == 0)
        rc = check_names(walk, tables, count);
    if (walk->out->foreign)
        return rc;
    if (rc == QUIPU_OK)
        rc = walk_table(walk, FREE_LIST, KIND_FREE_LIST, free_flags, &meta->free_list);
    for (size_t i = 0; i < walk->named_count && rc == QUIPU_OK; i++) {
        const struct named *named = &walk->named[i];
        const struct qp_walk_table *ours = find_table(tables, count, named->name);
        bool integer_key = ours != NULL && ours->integer_key;

        rc = walk_table(walk, named->name, KIND_NAMED, integer_key ? QP_PAGE_INTEGER_KEY : 0,
                        &named->tree);
    }
    return rc;
}

/* One bit a page, made in blocks: a file that only says that it is large costs no memory. */
static bool reserve(struct walk *walk, size_t *blocks)
{
    *blocks = (size_t)(walk->last_page / BLOCK_PAGES) + 1;
    walk->reached = qp_zalloc(*blocks * sizeof(*walk->reached));
    walk->pages = qp_zalloc((QP_PAGE_DEPTH_MAX + 1) * walk->page_bytes);
    return walk->reached != NULL && walk->pages != NULL;
}

static void release(struct walk *walk, size_t blocks)
{
    for (size_t i = 0; walk->reached != NULL && i < blocks; i++)
        qp_free(walk->reached[i]);
    qp_free(walk->reached);
    qp_free(walk->pages);
    qp_free(walk);
}

int qp_walk_pages(const struct qp_walk_file *file, const struct qp_page_meta *meta,
                  const struct qp_walk_table *tables, size_t table_count, qp_walk_found_fn found,
                  void *payload, struct qp_walked *out, quipu_error *error)
{
    struct walk *walk = qp_zalloc(sizeof(*walk)); /* too large for a stack that is not ours */
    size_t blocks = 0;
    int rc;

    if (walk == NULL)
        return qp_fail_memory(error);
    assert(meta->last_page < QP_PAGE_COUNT_MAX); /* so that the list of blocks is short */
    walk->file = file;
    walk->found = found;
    walk->payload = payload;
    walk->out = out;
    walk->error = error;
    walk->page_bytes = meta->page_bytes;
    walk->last_page = meta->last_page;
    walk->transaction = meta->transaction;
    if (reserve(walk, &blocks))
        rc = walk_all(walk, meta, tables, table_count);
    else
        rc = stop(walk, qp_fail_memory(error));
    out->pages = QP_PAGE_METAS + walk->reached_pages - out->free_pages;
    out->leaked_pages = meta->last_page + 1 - QP_PAGE_METAS - walk->reached_pages;
    rc = rc == STOP ? walk->stopped : QUIPU_OK;
    release(walk, blocks);
    return rc;
}
