/* upcast.c - upcasters are registered here, and the pages that they write into are made: the engine
 * knows nothing of those. */
#include "upcast.h"

#include "handles.h"
#include "quipu.h"
#include "status.h"

/* The page is lent for the call. */
static int call_up(const quipu_upcaster *upcaster, const quipu_event *event, struct qp_upcast *out,
                   quipu_error *error)
{
    quipu_page page = {.kind = QP_PAGE_UPCAST, .upcast = out};

    return upcaster->up(event, &page, upcaster->payload, error);
}

int quipu_register_upcaster(quipu *store, const quipu_upcaster *upcaster, quipu_error *error)
{
    quipu_upcaster own;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK && upcaster == NULL)
        rc = qp_fail(error, QUIPU_MISUSE, "the upcaster is NULL");
    if (rc == QUIPU_OK)
        rc = qp_struct_in(upcaster, sizeof(own), &own, "quipu_upcaster", error);
    if (rc == QUIPU_OK && own.up == NULL)
        rc = qp_fail(error, QUIPU_MISUSE, "the upcaster has no up");
    return rc == QUIPU_OK ? qp_upcasters_add(&store->handle->upcasters, &own, call_up, error) : rc;
}
