/* model.h - a store, and what should be in it: what the parts of model.c share. */
#ifndef MODEL_H
#define MODEL_H

#include "quipu.h"
#include "support_system.h"

enum {
    STREAMS = 56,
    TYPES = 12,
    TYPES_USED = 9, /* the others are asked for and never appended */
    STREAMS_USED = 50,
    ITEMS_MAX = 4,
    ITEM_TYPES_MAX = 3,
    KEPT_MAX = 6,
    STEPS_MAX = 6,
    DRAFTS_MAX = 4096,
    TAGS_MAX = 6,
    TAG_VALUES = 4,
    ITEM_TAGS_MAX = 2,
    MARKS = 5,
    GROUP_MAX = 12
};

/* What an event should be. bytes: tags, meta, data. */
struct event {
    uint64_t version;
    int64_t time_ns;
    int64_t recorded_ns;
    unsigned stream;
    unsigned type;
    uint32_t flags;
    uint32_t tag_count;
    uint32_t tags_size;
    uint32_t meta_size;
    uint32_t data_size;
    uint8_t data_format;
    uint8_t meta_format;
    uint16_t schema;
    uint8_t id[16];
    char *bytes;
    bool wished; /* it brought a time of its own for `recorded` */
    int64_t wish_ns;
    uint64_t batch; /* which it came with */
};

/* Never copied: it points into itself. */
struct asked {
    quipu_query query;
    quipu_query_item items[ITEMS_MAX];
    const char *types[ITEMS_MAX][ITEM_TYPES_MAX];
    const char *tags[ITEMS_MAX][ITEM_TAGS_MAX];
    char tag_names[ITEMS_MAX][ITEM_TAGS_MAX][16];
};

/* A read, and how far the reference has come in it. Never copied. */
struct wanted {
    bool by_stream;
    unsigned stream;
    struct asked asked;
    quipu_range range;
    uint64_t head;
    uint64_t at; /* the next position to look at */
    uint64_t given;
    uint64_t last; /* position that was given last */
    bool ended;    /* there was no more, whatever the limit */
};

struct kept {
    quipu_reader *reader;
    struct wanted wanted;
};

enum kind { APPEND, UNLESS, MARK, TRACK };

struct step {
    enum kind kind;
    unsigned stream;   /* APPEND; else which mark or source */
    uint64_t expected; /* UNLESS: after; MARK, TRACK: the number */
    size_t first;
    size_t count;
    struct asked asked;
};

/* A mark or a source. */
struct mark {
    bool set;
    uint64_t number;
};

/* What must become of a batch, or did. */
struct outcome {
    int rc;
    bool as_batch; /* it has steps, with results */
    quipu_receipt receipt;
    quipu_error error;
    size_t step_count;
    quipu_result results[STEPS_MAX];
};

extern struct model {
    struct sys_random random;
    unsigned merge_percent;
    unsigned big_percent;
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];
    quipu_options options;
    quipu *store;
    bool read_only;
    struct event *events; /* of position i + 1 */
    uint64_t head;
    uint64_t learned; /* up to here also what only the store knows */
    size_t capacity;
    uint64_t versions[STREAMS];
    struct mark marks[2][MARKS]; /* marks, sources */
    struct kept kept[KEPT_MAX];
    /* The batch that is being made. */
    struct event pending[DRAFTS_MAX];
    quipu_draft drafts[DRAFTS_MAX];
    const char *tags[DRAFTS_MAX][TAGS_MAX];
    size_t pending_count;
    struct step steps[STEPS_MAX];
    size_t step_count;
    uint64_t batches;
    uint64_t reads;
    uint64_t merges;
    uint64_t known;     /* batches that were */
    uint64_t refused;   /* for their ids */
    uint64_t unless[2]; /* conditions on queries: those that held, and not */
    uint64_t moved[2];  /* marks and sources, the same */
    uint64_t beside;    /* batches by another process */
    uint64_t groups;    /* of asynchronous ones */
    uint64_t reopens;
    uint64_t views; /* of projections, looked at */
} model;

uint64_t model_below(uint64_t bound);
bool model_chance(unsigned percent);

/* ---- model_draft.c ---- */

extern char model_streams[STREAMS][256];
extern char model_categories[STREAMS][256];
extern const char *const model_types[TYPES];
extern const char *const model_mark_names[2][MARKS];

void model_make_names(void);
unsigned model_pick_stream(void);

/* Add one to those pending. */
void model_make_draft(unsigned stream, bool small);

/* ---- model_batch.c ---- */

void model_make_batch(void);

/* The status, the receipt and each result as they should be. */
void model_foretell(struct outcome *should);

/* ---- model_commit.c ---- */

void model_append(void);
void model_group(void);

/* ---- model_read.c ---- */

void model_compare_event(const quipu_event *got, uint64_t position);
bool model_has_tag(const struct event *event, const char *tag);
bool model_asks_for(const struct asked *asked, const struct event *event);
void model_pick_asked(struct asked *asked);
void model_read(void);
void model_keep(void);

/* ---- model_look.c ---- */

void model_load(void);
void model_list(void);
void model_list_terms(void);
void model_list_marks(void);
void model_stat(void);
void model_verify(void);

/* ---- model_project.c ---- */

void model_project_begin(void);
void model_project(void);

/* ---- model.c ---- */

void model_open(uint32_t flags);
void model_close_kept(bool store_is_closed);

#endif
