/* args.c - the option parser. It knows tables, and no verb.
 *
 * Arguments are read once, from left to right; the first mistake ends it, and its text names what
 * was given, cut to 80 bytes. What an option means, and whether one is required, the verb decides.
 */
#include "args.h"

#include "number.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns: -1, so that a caller can return it. */
__attribute__((format(printf, 2, 3))) static int fail(struct qt_args *args, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(args->error, sizeof(args->error), format, arguments);
    va_end(arguments);
    return -1;
}

/* The row for a name that is `size` bytes long, or NULL. The verb's own options come first. */
static const struct qt_option *find_option(const struct qt_args *args, const char *name,
                                           size_t size)
{
    for (size_t i = 0; i < QT_TABLES_MAX; i++) {
        const struct qt_option *option = args->tables[i];

        for (; option != NULL && option->name != NULL; option++)
            if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
                return option;
    }
    return NULL;
}

/* The row with this short form, or NULL. */
static const struct qt_option *find_letter(const struct qt_args *args, char letter)
{
    for (size_t i = 0; i < QT_TABLES_MAX; i++) {
        const struct qt_option *option = args->tables[i];

        for (; option != NULL && option->name != NULL; option++)
            if (option->letter == letter)
                return option;
    }
    return NULL;
}

/* The first time that the option was given, or NULL. */
static const struct qt_given *find_given(const struct qt_args *args, const char *name)
{
    assert(find_option(args, name, strlen(name)) != NULL);
    for (size_t i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            return &args->given[i];
    return NULL;
}

/* `text` is one of the words in `choices`. */
static bool is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);

    for (const char *at = choices;; at++) {
        const char *end = strchr(at, '|');
        size_t word = end == NULL ? strlen(at) : (size_t)(end - at);

        if (word == size && memcmp(at, text, size) == 0)
            return true;
        if (end == NULL)
            return false;
        at = end;
    }
}

/* A value is read here, once, so that a verb meets only numbers and words that it knows. */
static int check_value(struct qt_args *args, struct qt_given *given)
{
    const struct qt_option *option = given->option;

    if (option->kind == QT_CHOICE && !is_choice(option->value, given->text)) {
        return fail(args, "--%s is %s, not \"%.80s\"", option->name, option->value, given->text);
    }
    if (option->kind != QT_NUMBER)
        return 0;
    if (qt_number_parse(given->text, &given->number) < 0) {
        return fail(args, "--%s wants a number, not \"%.80s\"", option->name, given->text);
    }
    if (option->most != 0 && given->number > option->most) {
        return fail(args, "--%s is at most %llu, not %.80s", option->name,
                    (unsigned long long)option->most, given->text);
    }
    return 0;
}

/* Which of two values would count is not for us to guess: only what repeats may come twice. */
static int add_given(struct qt_args *args, const struct qt_option *option, const char *text)
{
    struct qt_given *given = &args->given[args->given_count];

    if (!option->repeats && find_given(args, option->name) != NULL) {
        return fail(args, "--%s is given twice", option->name);
    }
    *given = (struct qt_given){.option = option, .text = text};
    if (check_value(args, given) < 0)
        return -1;
    args->given_count++;
    return 0;
}

/* `value` is what stands in the same argument, or NULL. Returns: how many arguments it took, or -1.
 */
static int take_value(struct qt_args *args, const struct qt_option *option, const char *value,
                      const char *next)
{
    if (option->kind == QT_FLAG) {
        if (value != NULL) {
            return fail(args, "--%s takes no value", option->name);
        }
        return add_given(args, option, NULL) < 0 ? -1 : 1;
    }
    if (value != NULL)
        return add_given(args, option, value) < 0 ? -1 : 1;
    if (next == NULL) {
        return fail(args, "--%s wants a value: %s", option->name, option->value);
    }
    return add_given(args, option, next) < 0 ? -1 : 2;
}

/* `argument` begins with "--" and a name. Returns: how many arguments it took, or -1. */
static int take_option(struct qt_args *args, const char *argument, const char *next)
{
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const struct qt_option *option = find_option(args, name, size);

    if (option == NULL) {
        return fail(args, "no such option: --%.*s", size > 80 ? 80 : (int)size, name);
    }
    return take_value(args, option, equals == NULL ? NULL : equals + 1, next);
}

/* `argument` is "-" and more. Returns: how many arguments it took, or -1. */
static int take_letter(struct qt_args *args, const char *argument, const char *next)
{
    const struct qt_option *option = find_letter(args, argument[1]);

    if (option == NULL) {
        return fail(args, "no such option: %.80s", argument);
    }
    if (argument[2] != '\0') {
        return fail(args, "-%c stands alone%s, not as in \"%.80s\"", option->letter,
                    option->kind == QT_FLAG ? "" : " before its value", argument);
    }
    return take_value(args, option, NULL, next);
}

static int take_operand(struct qt_args *args, const char *argument)
{
    if (args->operand_count == QT_OPERANDS_MAX) {
        return fail(args, "one argument too many: \"%.80s\"", argument);
    }
    args->operands[args->operand_count++] = argument;
    return 0;
}

int qt_args_parse(struct qt_args *args, int argc, char **argv)
{
    bool options = true;

    assert(argc >= 0);
    assert(args->given == NULL);
    args->given = calloc((size_t)argc + 1, sizeof(*args->given));
    if (args->given == NULL) {
        return fail(args, "out of memory");
    }
    for (int i = 0; i < argc;) {
        const char *argument = argv[i];
        int taken = 1;

        if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && strncmp(argument, "--", 2) == 0) {
            taken = take_option(args, argument, i + 1 < argc ? argv[i + 1] : NULL);
        } else if (options && argument[0] == '-' && argument[1] != '\0') {
            taken = take_letter(args, argument, i + 1 < argc ? argv[i + 1] : NULL);
        } else if (take_operand(args, argument) < 0) {
            taken = -1;
        }
        if (taken < 0)
            return -1;
        i += taken;
    }
    return 0;
}

void qt_args_release(struct qt_args *args)
{
    free(args->given);
    args->given = NULL;
    args->given_count = 0;
}

bool qt_args_has(const struct qt_args *args, const char *name)
{
    return find_given(args, name) != NULL;
}

const char *qt_args_text(const struct qt_args *args, const char *name)
{
    const struct qt_given *given = find_given(args, name);

    return given == NULL ? NULL : given->text;
}

uint64_t qt_args_number(const struct qt_args *args, const char *name, uint64_t otherwise)
{
    const struct qt_given *given = find_given(args, name);

    assert(given == NULL || given->option->kind == QT_NUMBER);
    return given == NULL ? otherwise : given->number;
}

size_t qt_args_all(const struct qt_args *args, const char *name, const char **texts, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < args->given_count && count < most; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            texts[count++] = args->given[i].text;
    return count;
}
