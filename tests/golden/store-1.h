/* store-1.h - what is in the golden store 1: for make_store.c, which made it, and for the test that
 * opens it. Never changed. */
#ifndef GOLDEN_STORE_1_H
#define GOLDEN_STORE_1_H

#include <quipu.h>
#include <stdio.h>
#include <string.h>

enum { GOLDEN_EVENTS = 300, GOLDEN_STREAMS = 5, GOLDEN_DATA_MAX = 10000 };

struct golden_event {
    char stream[32];
    char type[16];
    char data[GOLDEN_DATA_MAX];
    char tag[2][32];
    const char *tags[2];
    quipu_draft draft;
};

/* The event at position number + 1. */
static inline void golden_event(unsigned number, struct golden_event *event)
{
    unsigned stream = number % 8 < 6 ? 0 : number % GOLDEN_STREAMS;
    quipu_draft *draft = &event->draft;

    memset(event, 0, sizeof(*event));
    (void)snprintf(event->stream, sizeof(event->stream), "%s-%u",
                   stream % 2 == 0 ? "order" : "k\xc3\xa4ufer", stream);
    (void)snprintf(event->type, sizeof(event->type), "Type%u", number % 3);
    draft->type = event->type;
    draft->recorded_ns = INT64_C(1700000000000000000) + number;
    draft->flags = QUIPU_EVENT_HAS_RECORDED;
    draft->schema = (uint16_t)(number % 4);
    draft->data = event->data;
    draft->data_size = (uint32_t)snprintf(event->data, sizeof(event->data), "{\"n\": %u}", number);
    draft->data_format = QUIPU_JSON;
    if (number % 100 == 99) { /* more than fits a row */
        memset(event->data, 'a' + (int)(number % 26), GOLDEN_DATA_MAX);
        draft->data_size = GOLDEN_DATA_MAX;
        draft->data_format = QUIPU_BINARY;
    }
    if (number % 7 == 0) {
        (void)snprintf(event->tag[0], sizeof(event->tag[0]), "number:%u", number);
        (void)snprintf(event->tag[1], sizeof(event->tag[1]), "kind:seventh");
        event->tags[0] = event->tag[0];
        event->tags[1] = event->tag[1];
        draft->tags = event->tags;
        draft->tag_count = 2;
    }
    if (number % 5 == 0) {
        draft->flags |= QUIPU_EVENT_HAS_ID;
        memset(draft->id, (int)(number % 251), sizeof(draft->id));
        draft->id[0] = (uint8_t)(number >> 8);
    }
    if (number % 6 == 0) {
        draft->flags |= QUIPU_EVENT_HAS_TIME;
        draft->time_ns = INT64_C(1600000000000000000) - number;
    }
    if (number % 9 == 0) {
        draft->meta = "\x81\xa1x\x01";
        draft->meta_size = 4;
        draft->meta_format = QUIPU_MSGPACK;
    }
}

#endif
