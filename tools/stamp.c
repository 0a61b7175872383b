/* stamp.c - the proleptic Gregorian calendar in closed form (days of eras of 400 years), so that no
 * time zone, locale or libc table has a say.
 *
 * An era is 146 097 days, and all eras are alike. Years are counted from March, which makes the
 * leap day the last of its year and month lengths a straight line: (153 * month + 2) / 5. 719 468
 * is the number of days from 0000-03-01, where the first era begins, to 1970-01-01. */
#include "stamp.h"

#include "number.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define DAY_S     INT64_C(86400)
#define SECOND_NS INT64_C(1000000000)
#define DAY_NS    (DAY_S * SECOND_NS)

/* Where reading stands. The first error is kept; what comes after it reads nothing. */
struct reader {
    const char *at;
    const char *end;
    const char *error;
};

/* Days since 1970-01-01. A year begins in March here, so that the leap day is its last. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = shifted / 400;
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    assert(year >= 0);
    return era * 146097 + day_of_era - 719468;
}

/* The inverse of days_from_date(). */
static void put_date(char *to, int64_t day)
{
    int64_t shifted = day + 719468;
    int64_t era = shifted / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * of_year + 2) / 153;
    int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

    assert(shifted >= 0); /* 64-bit nanoseconds begin in 1677 */
    to = qt_number_padded(to, (uint32_t)year, 4);
    *to++ = '-';
    to = qt_number_padded(to, (uint32_t)month, 2);
    *to++ = '-';
    qt_number_padded(to, (uint32_t)(of_year - (153 * shifted_month + 2) / 5 + 1), 2);
}

/* Date, `between`, time of day. Returns: the end; `*rest` is the fraction of the second. */
static inline char *put_second(struct qt_stamp *stamp, int64_t time_ns, char between, char *to,
                               uint32_t *rest)
{
    int64_t day = time_ns / DAY_NS;
    int64_t of_day = time_ns % DAY_NS;
    uint32_t second;

    if (of_day < 0) {
        of_day += DAY_NS;
        day--;
    }
    if (day != stamp->day || stamp->date[0] == '\0') {
        put_date(stamp->date, day);
        stamp->day = day;
    }
    memcpy(to, stamp->date, sizeof(stamp->date));
    to += sizeof(stamp->date);
    *to++ = between;
    second = (uint32_t)(of_day / SECOND_NS);
    *rest = (uint32_t)(of_day % SECOND_NS);
    to = qt_number_padded(to, second / 3600, 2);
    *to++ = ':';
    to = qt_number_padded(to, second / 60 % 60, 2);
    *to++ = ':';
    return qt_number_padded(to, second % 60, 2);
}

char *qt_stamp_full(struct qt_stamp *stamp, int64_t time_ns, char *to)
{
    uint32_t rest;

    to = put_second(stamp, time_ns, 'T', to, &rest);
    *to++ = '.';
    to = qt_number_padded(to, rest, 9);
    *to++ = 'Z';
    return to;
}

char *qt_stamp_short(struct qt_stamp *stamp, int64_t time_ns, char *to)
{
    uint32_t rest;

    return put_second(stamp, time_ns, ' ', to, &rest);
}

/* Exactly `digits` digits, or 0 with an error that is kept. */
static int take_digits(struct reader *reader, int digits)
{
    int value = 0;

    if (reader->error != NULL)
        return 0;
    for (; digits > 0; digits--) {
        if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9') {
            reader->error = "a time looks like 2024-03-01T12:00:00Z";
            return 0;
        }
        value = value * 10 + (*reader->at++ - '0');
    }
    return value;
}

/* One character out of `marks`. */
static void take_mark(struct reader *reader, const char *marks)
{
    if (reader->error != NULL)
        return;
    if (reader->at == reader->end || *reader->at == '\0' || strchr(marks, *reader->at) == NULL) {
        reader->error = "a time looks like 2024-03-01T12:00:00Z";
        return;
    }
    reader->at++;
}

static int days_of_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970. */
static int64_t take_date(struct reader *reader)
{
    int year = take_digits(reader, 4);
    int month;
    int day;

    take_mark(reader, "-");
    month = take_digits(reader, 2);
    take_mark(reader, "-");
    day = take_digits(reader, 2);
    if (reader->error != NULL)
        return 0;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)) {
        reader->error = "no such day";
        return 0;
    }
    return days_from_date(year, month, day);
}

/* Seconds of the day. A leap second is refused: no clock that counts nanoseconds since 1970 has it.
 */
static int64_t take_time(struct reader *reader)
{
    int hour = take_digits(reader, 2);
    int minute;
    int second;

    take_mark(reader, ":");
    minute = take_digits(reader, 2);
    take_mark(reader, ":");
    second = take_digits(reader, 2);
    if (reader->error == NULL && (hour > 23 || minute > 59 || second > 59))
        reader->error = "no such time of day";
    return hour * INT64_C(3600) + minute * INT64_C(60) + second;
}

/* Nanoseconds. More than nine digits are refused, not rounded: the event would change. */
static int64_t take_fraction(struct reader *reader)
{
    int64_t value = 0;
    int digits = 0;

    if (reader->error != NULL || reader->at == reader->end || *reader->at != '.')
        return 0;
    for (reader->at++; reader->at != reader->end; reader->at++) {
        if (*reader->at < '0' || *reader->at > '9')
            break;
        digits++;
        if (digits <= 9)
            value = value * 10 + (*reader->at - '0');
    }
    if (digits < 1 || digits > 9)
        reader->error = "a second has one to nine digits after its point";
    for (; digits < 9; digits++)
        value *= 10;
    return value;
}

/* Seconds to take off for UTC. */
static int64_t take_offset(struct reader *reader)
{
    int sign;
    int hours;
    int minutes;

    if (reader->error != NULL)
        return 0;
    if (reader->at != reader->end && (*reader->at == 'Z' || *reader->at == 'z')) {
        reader->at++;
        return 0;
    }
    sign = reader->at != reader->end && *reader->at == '-' ? -1 : 1;
    take_mark(reader, "+-");
    hours = take_digits(reader, 2);
    take_mark(reader, ":");
    minutes = take_digits(reader, 2);
    if (reader->error == NULL && (hours > 23 || minutes > 59))
        reader->error = "no such offset from UTC";
    return sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
}

int qt_stamp_parse(const char *text, size_t size, int64_t *time_ns, const char **error)
{
    struct reader reader = {.at = text, .end = text + size};
    int64_t seconds;
    int64_t fraction;

    seconds = take_date(&reader) * DAY_S;
    take_mark(&reader, "Tt ");
    seconds += take_time(&reader);
    fraction = take_fraction(&reader);
    seconds -= take_offset(&reader);
    if (reader.error == NULL && reader.at != reader.end)
        reader.error = "a time looks like 2024-03-01T12:00:00Z";
    if (reader.error == NULL && seconds < 0 && fraction > 0) {
        /* Nearer to zero first, or the earliest instants overflow on the way. */
        seconds++;
        fraction -= SECOND_NS;
    }
    if (reader.error == NULL && (__builtin_mul_overflow(seconds, SECOND_NS, time_ns) ||
                                 __builtin_add_overflow(*time_ns, fraction, time_ns)))
        reader.error = "times reach from 1677-09-21 to 2262-04-11";
    *error = reader.error;
    return reader.error == NULL ? 0 : -1;
}
