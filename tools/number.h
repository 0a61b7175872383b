/* number.h - numbers to and from text, without a locale and without surprises. */
#ifndef QT_NUMBER_H
#define QT_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define QT_NUMBER_MAX  20 /* digits of a 64-bit number */
#define QT_GROUPED_MAX 32 /* the same with a blank before each three, and a 0 at the end */
#define QT_AMOUNT_MAX  32 /* "1023.9 GB", with a 0 at the end */

/* Write `number` in decimal. Returns: the end of it; there is no 0 byte. */
char *qt_number_put(char *to, uint64_t number);

/* The digits that `number` has. */
unsigned qt_number_digits(uint64_t number);

/* Write exactly `digits` digits, with zeros in front. Returns: the end. */
char *qt_number_padded(char *to, uint32_t number, unsigned digits);

/* Read a whole text as a decimal number: digits and nothing else. Returns: 0, or -1. */
int qt_number_parse(const char *text, uint64_t *number);

/* "10 482 113" */
const char *qt_number_grouped(uint64_t number, char out[QT_GROUPED_MAX]);

/* "3.5 GB", in powers of 1 000. */
const char *qt_number_amount(uint64_t bytes, char out[QT_AMOUNT_MAX]);

/* "2 s", "41 min", "3 h", "12 d" */
const char *qt_number_age(uint64_t seconds, char out[QT_AMOUNT_MAX]);

/* Sixteen lower-case hexadecimal digits and a 0. */
void qt_number_hex16(uint64_t number, char out[17]);

#endif
