/* test_decide.c - the last positions there are. What conditions see is the model's business. */
#include "decide.h"
#include "handles.h"
#include "moment.h"
#include "support_suite.h"

SUPPORT_SUITE(decide);

Test(decide, positions_end)
{
    static const struct {
        uint64_t head;
        size_t count;
        int status;
    } cases[] = {
        {QP_POSITION_MAX, 0, QUIPU_OK},       {QP_POSITION_MAX, 1, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 1, 1, QUIPU_OK},   {QP_POSITION_MAX - 1, 2, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 10, 10, QUIPU_OK}, {QP_POSITION_MAX - 10, 11, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 10, 9, QUIPU_OK},
    };
    const quipu_draft draft = {.type = "t"};
    char path[SUPPORT_PATH_BYTES];
    struct qp_moment *moment = NULL;
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, NULL), QUIPU_OK);
    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qp_overlay overlay;
        struct qp_batch batch = {0};
        quipu_receipt receipt;
        quipu_error error = {0};
        int rc;

        for (size_t j = 0; j < cases[i].count; j++)
            cr_assert_eq(qp_batch_append(&batch, "s", QUIPU_ANY, &draft, 1), QUIPU_OK);
        qp_overlay_init(&overlay, cases[i].head);
        rc = qp_decide(&overlay, moment, &batch, &receipt, &error);
        cr_expect_eq(rc, cases[i].status, "case %zu: %s", i, error.text);
        if (rc == QUIPU_OK && cases[i].count > 0)
            cr_expect_eq(receipt.last_position, cases[i].head + cases[i].count, "case %zu", i);
        qp_overlay_release(&overlay);
        qp_batch_release(&batch);
    }
    qp_moment_end(moment);
    quipu_close(store);
}
