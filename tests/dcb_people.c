/* dcb_people.c - courses and students, names of users, tokens of who signs up: see dcb.c. */
#include "dcb.h"

/* ---- course subscriptions: two limits at once, of the course and of the student ---------------
 */

enum { COURSES = 6, STUDENTS = 30, COURSES_OF_STUDENT = 3, CAPACITY_MAX = 12 };
enum { DEFINE, SUBSCRIBE, CHANGE };

struct course {
    const struct dcb_command *command;
    bool defined;
    bool subscribed;
    int64_t capacity;
    int64_t taken;
    int64_t of_student;
};

static void see_course(const quipu_event *event, void *state)
{
    struct course *course = state;
    bool same = dcb_value(event, "course") == course->command->a;
    bool student = dcb_value(event, "student") == course->command->b;

    if (quipu_event_is(event, "StudentSubscribed")) {
        course->taken += same;
        course->of_student += student;
        course->subscribed = course->subscribed || (same && student);
    } else if (same) {
        course->defined = true;
        course->capacity = dcb_n(event);
    }
}

static bool may_change_course(const struct course *course)
{
    switch (course->command->what) {
    case DEFINE:
        return !course->defined;
    case CHANGE:
        return course->defined && course->command->n >= course->taken &&
               course->command->n != course->capacity;
    default:
        return course->defined && !course->subscribed && course->taken < course->capacity &&
               course->of_student < COURSES_OF_STUDENT;
    }
}

static int decide_course(const struct dcb_command *command)
{
    static const char *const types[] = {"CourseDefined", "StudentSubscribed", "CapacityChanged"};
    char names[2][DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(names[0], "course", command->a),
                          dcb_tag(names[1], "student", command->b)};
    const quipu_query_item items[] = {
        {.types = types, .type_count = 3, .tags = &tags[0], .tag_count = 1},
        {.types = types + 1, .type_count = 1, .tags = &tags[1], .tag_count = 1},
    };
    const quipu_query query = {items, command->what == SUBSCRIBE ? 2 : 1};
    struct course course = {.command = command};
    uint64_t after = dcb_look(&query, 0, 0, see_course, &course);
    const struct dcb_event event = {
        .type = types[command->what],
        .tags = {tags[0], command->what == SUBSCRIBE ? tags[1] : NULL},
        .n = command->n,
    };

    return may_change_course(&course) ? dcb_commit(&event, &query, after) : 0;
}

static void pick_course(struct sys_random *random, struct dcb_command *command)
{
    uint64_t what = sys_below(random, 20);

    *command = (struct dcb_command){.what = what < 2   ? DEFINE
                                            : what < 4 ? CHANGE
                                                       : SUBSCRIBE,
                                    .a = (unsigned)sys_below(random, COURSES),
                                    .b = (unsigned)sys_below(random, STUDENTS),
                                    .n = (int64_t)(1 + sys_below(random, CAPACITY_MAX))};
}

static void rules_of_courses(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{SUBSCRIBE, 1, 1, 0, 0}, 0}, {{CHANGE, 1, 0, 3, 0}, 0},    {{DEFINE, 1, 0, 2, 0}, 1},
        {{DEFINE, 1, 0, 9, 0}, 0},    {{SUBSCRIBE, 1, 1, 0, 0}, 1}, {{SUBSCRIBE, 1, 1, 0, 0}, 0},
        {{SUBSCRIBE, 1, 2, 0, 0}, 1}, {{SUBSCRIBE, 1, 3, 0, 0}, 0}, {{CHANGE, 1, 0, 1, 0}, 0},
        {{CHANGE, 1, 0, 3, 0}, 1},    {{SUBSCRIBE, 1, 3, 0, 0}, 1}, {{DEFINE, 2, 0, 5, 0}, 1},
        {{DEFINE, 3, 0, 5, 0}, 1},    {{DEFINE, 4, 0, 5, 0}, 1},    {{SUBSCRIBE, 2, 1, 0, 0}, 1},
        {{SUBSCRIBE, 3, 1, 0, 0}, 1}, {{SUBSCRIBE, 4, 1, 0, 0}, 0}, {{SUBSCRIBE, 4, 2, 0, 0}, 1},
    };

    dcb_expect(example, rules, sizeof(rules) / sizeof(rules[0]));
}

static bool holds_course(const quipu_event *event)
{
    static int64_t capacity[COURSES];
    static int64_t taken[COURSES];
    static unsigned of_student[STUDENTS];
    static bool subscribed[COURSES][STUDENTS];
    uint64_t course = dcb_value(event, "course");
    uint64_t student = dcb_value(event, "student");
    bool defined = capacity[course] > 0;

    if (quipu_event_is(event, "StudentSubscribed")) {
        bool twice = subscribed[course][student];

        subscribed[course][student] = true;
        return defined && !twice && ++taken[course] <= capacity[course] &&
               ++of_student[student] <= COURSES_OF_STUDENT;
    }
    capacity[course] = dcb_n(event);
    return quipu_event_is(event, "CourseDefined") ? !defined
                                                  : defined && taken[course] <= capacity[course];
}

const struct dcb_example dcb_courses = {"course subscriptions", decide_course, pick_course,
                                        rules_of_courses,       holds_course,  0};

/* ---- unique username: taken by a registration, free some days after a close --------------------
 */

enum { USERNAMES = 25, DAYS_HELD = 3 };
enum { REGISTER, CLOSE };

struct username {
    bool taken;
    unsigned owner;
    int64_t free_since; /* a day */
};

static void see_username(const quipu_event *event, void *state)
{
    struct username *username = state;

    username->taken = !quipu_event_is(event, "AccountClosed");
    username->owner = (unsigned)dcb_n(event);
    username->free_since = event->time_ns;
}

/* `a` is the name, `n` the account; a closed name is held for some days. */
static int decide_username(const struct dcb_command *command)
{
    char name[DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(name, "username", command->a)};
    const quipu_query_item item = {.tags = tags, .tag_count = 1};
    const quipu_query query = {&item, 1};
    struct username username = {.free_since = -1000};
    uint64_t after = dcb_look(&query, 0, 0, see_username, &username);
    const struct dcb_event event = {
        .type = command->what == CLOSE ? "AccountClosed" : "AccountRegistered",
        .tags = {tags[0]},
        .n = command->n,
        .time = command->time,
    };

    if (command->what == CLOSE) {
        if (!username.taken || username.owner != (unsigned)command->n)
            return 0;
    } else if (username.taken || command->time - username.free_since <= DAYS_HELD) {
        return 0;
    }
    return dcb_commit(&event, &query, after);
}

static void pick_username(struct sys_random *random, struct dcb_command *command)
{
    *command = (struct dcb_command){.what = sys_chance(random, 50) ? CLOSE : REGISTER,
                                    .a = (unsigned)sys_below(random, USERNAMES),
                                    .n = (int64_t)sys_below(random, 4),
                                    .time = (int64_t)sys_below(random, 40)};
}

static void rules_of_usernames(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{CLOSE, 1, 0, 1, 0}, 0},     {{REGISTER, 1, 0, 1, 1}, 1},  {{REGISTER, 1, 0, 2, 9}, 0},
        {{REGISTER, 1, 0, 1, 9}, 0},  {{REGISTER, 2, 0, 2, 1}, 1},  {{CLOSE, 1, 0, 2, 10}, 0},
        {{CLOSE, 1, 0, 1, 10}, 1},    {{CLOSE, 1, 0, 1, 10}, 0},    {{REGISTER, 1, 0, 2, 13}, 0},
        {{REGISTER, 1, 0, 2, 14}, 1}, {{REGISTER, 1, 0, 1, 99}, 0},
    };

    dcb_expect(example, rules, sizeof(rules) / sizeof(rules[0]));
}

static bool holds_username(const quipu_event *event)
{
    static bool taken[USERNAMES];
    static bool closed[USERNAMES];
    static int64_t owner[USERNAMES];
    static int64_t day[USERNAMES];
    uint64_t name = dcb_value(event, "username");
    bool held = closed[name] && event->time_ns - day[name] <= DAYS_HELD;
    bool was = taken[name];

    if (quipu_event_is(event, "AccountClosed")) {
        taken[name] = false;
        closed[name] = true;
        day[name] = event->time_ns;
        return was && owner[name] == dcb_n(event);
    }
    taken[name] = true;
    owner[name] = dcb_n(event);
    return !was && !held;
}

const struct dcb_example dcb_usernames = {"unique username",  decide_username, pick_username,
                                          rules_of_usernames, holds_username,  0};

/* ---- opt-in token: of one address, for an hour, once -------------------------------------------
 */

enum { TOKENS = 150, MINUTES_VALID = 60 };
enum { SIGN_UP, CONFIRM };

struct token {
    bool pending;
    bool used;
    uint64_t address;
    int64_t since;
};

static void see_token(const quipu_event *event, void *state)
{
    struct token *token = state;

    if (quipu_event_is(event, "SignUpConfirmed")) {
        token->used = true;
        return;
    }
    token->pending = true;
    token->address = dcb_value(event, "email");
    token->since = event->time_ns;
}

/* `a` is the token, `b` the address. */
static int decide_token(const struct dcb_command *command)
{
    char names[2][DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(names[0], "otp", command->a),
                          dcb_tag(names[1], "email", command->b)};
    const quipu_query_item item = {.tags = tags, .tag_count = 1};
    const quipu_query query = {&item, 1};
    struct token token = {0};
    uint64_t after = dcb_look(&query, 0, 0, see_token, &token);
    const struct dcb_event event = {
        .type = command->what == SIGN_UP ? "SignUpInitiated" : "SignUpConfirmed",
        .tags = {tags[0], tags[1]},
        .n = command->n,
        .time = command->time,
    };

    if (command->what == SIGN_UP)
        return token.pending ? 0 : dcb_commit(&event, &query, after);
    if (!token.pending || token.used || token.address != command->b ||
        command->time - token.since > MINUTES_VALID)
        return 0;
    return dcb_commit(&event, &query, after);
}

static void pick_token(struct sys_random *random, struct dcb_command *command)
{
    *command = (struct dcb_command){.what = sys_chance(random, 40) ? SIGN_UP : CONFIRM,
                                    .a = (unsigned)sys_below(random, TOKENS),
                                    .b = (unsigned)sys_below(random, 2),
                                    .time = (int64_t)sys_below(random, 100)};
}

static void rules_of_tokens(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{CONFIRM, 1, 1, 0, 0}, 0},  {{SIGN_UP, 1, 1, 0, 10}, 1},  {{CONFIRM, 1, 2, 0, 20}, 0},
        {{CONFIRM, 2, 1, 0, 20}, 0}, {{CONFIRM, 1, 1, 0, 71}, 0},  {{CONFIRM, 1, 1, 0, 70}, 1},
        {{CONFIRM, 1, 1, 0, 30}, 0}, {{SIGN_UP, 1, 2, 0, 200}, 0}, {{SIGN_UP, 2, 1, 0, 0}, 1},
    };

    dcb_expect(example, rules, sizeof(rules) / sizeof(rules[0]));
}

static bool holds_token(const quipu_event *event)
{
    static struct token tokens[TOKENS];
    struct token *token = &tokens[dcb_value(event, "otp")];
    bool pending = token->pending;
    bool used = token->used;

    if (quipu_event_is(event, "SignUpInitiated")) {
        *token = (struct token){true, used, dcb_value(event, "email"), event->time_ns};
        return !pending && !used;
    }
    token->used = true;
    return pending && !used && token->address == dcb_value(event, "email") &&
           event->time_ns - token->since <= MINUTES_VALID;
}

const struct dcb_example dcb_tokens = {"opt-in token",  decide_token, pick_token,
                                       rules_of_tokens, holds_token,  2 * TOKENS};
