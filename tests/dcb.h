/* dcb.h - what the examples of dcb.c are made of: a decision, a picker of commands, and the rule as
 * a naive look at the log has it. */
#ifndef DCB_H
#define DCB_H

#include "quipu.h"
#include "support_system.h"

enum { DCB_TAGS = 4, DCB_TAG_BYTES = 40 };

/* What somebody wants; each example says what the numbers are. */
struct dcb_command {
    unsigned what;
    unsigned a;
    unsigned b;
    int64_t n;
    int64_t time;
};

struct dcb_event {
    const char *type;
    const char *tags[DCB_TAGS]; /* NULL behind the last */
    int64_t n;
    int64_t time;
};

struct dcb_example {
    const char *name;
    /* 1: accepted and committed; 0: the rule refuses it; CONFLICT: what was read has changed. */
    int (*decide)(const struct dcb_command *command);
    void (*pick)(struct sys_random *random, struct dcb_command *command);
    /* The rule by one thread, in a store of its own. */
    void (*rules)(const struct dcb_example *example);
    /* Seen from the beginning of the log: may this event come after those before it? */
    bool (*holds)(const quipu_event *event);
    unsigned most; /* no more can be accepted; 0: not known */
};

extern const struct dcb_example dcb_courses;
extern const struct dcb_example dcb_usernames;
extern const struct dcb_example dcb_invoices;
extern const struct dcb_example dcb_tokens;
extern const struct dcb_example dcb_grace;
extern const struct dcb_example dcb_duplicates;
extern const struct dcb_example dcb_carts;

/* Look at what the query finds. Returns the position up to which it was looked. */
typedef void (*dcb_see_fn)(const quipu_event *event, void *state);
uint64_t dcb_look(const quipu_query *query, uint32_t flags, uint64_t limit, dcb_see_fn see,
                  void *state);

/* Append unless anything of the query came after that position. Returns 1, or CONFLICT. */
int dcb_commit(const struct dcb_event *event, const quipu_query *query, uint64_t after);

/* "key:value", and back; the number in the data. */
const char *dcb_tag(char out[DCB_TAG_BYTES], const char *key, uint64_t value);
uint64_t dcb_value(const quipu_event *event, const char *key); /* UINT64_MAX: none */
int64_t dcb_n(const quipu_event *event);

/* Decide until there is no conflict. */
int dcb_try(const struct dcb_example *example, const struct dcb_command *command);

struct dcb_rule {
    struct dcb_command command;
    int accepted;
};
void dcb_expect(const struct dcb_example *example, const struct dcb_rule *rules, size_t count);

#endif
