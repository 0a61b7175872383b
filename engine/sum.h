/* sum.h - XXH3, the only door to xxHash. Finds accidents, not forgers. */
#ifndef QP_SUM_H
#define QP_SUM_H

#include "base.h"

uint64_t qp_sum(const void *bytes, size_t size, uint64_t seed);

/* The next link of the log's chain. */
uint64_t qp_sum_chain(uint64_t chain_before, uint64_t head, uint64_t content);

/* 128 bits over bytes of any kind: what stands for them, the low half first. */
void qp_sum_wide(const void *bytes, size_t size, uint8_t sum[16]);

/* The 16 bytes that stand for an event whose id nobody gave. */
void qp_sum_id(const uint8_t uuid[16], uint64_t position, uint64_t chain, uint8_t id[16]);

#endif
