/* plan_project.h - the parts of a plan that are about projections, and what they need of plan.c to
 * be built. */
#ifndef CRASH_PLAN_PROJECT_H
#define CRASH_PLAN_PROJECT_H

#include "plan.h"

struct builder; /* its layout is plan.c's business */

/* ---- what plan.c builds with ---- */

struct crash_plan *crash_builder_plan(struct builder *builder);
struct crash_op *crash_builder_op(struct builder *builder, enum crash_op_kind kind);
void crash_builder_open(struct builder *builder, bool inlines);
void crash_builder_close(struct builder *builder);

/* One event, of that schema; 0: of any that no projection fails at. */
void crash_builder_event(struct builder *builder, unsigned stream, uint16_t poison);

/* ---- parts ---- */

void crash_part_project(struct builder *builder);
void crash_part_rebuild(struct builder *builder);
void crash_part_inline(struct builder *builder);

#endif
