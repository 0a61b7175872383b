#include <quipu.h>
#include <stdio.h>

static int add(void *sum, const quipu_event *event, void *payload, quipu_error *error)
{
    int64_t cents = 0; /* what an event without such a member counts */
    (void)payload, (void)error;
    (void)quipu_get_i64(event, "cents", &cents);
    *(int64_t *)sum += cents;
    return QUIPU_OK;
}

int main(void)
{
    quipu_draft paid = {
        .type = "Paid", .data = "{\"cents\": 1999}", .data_size = 15, .data_format = QUIPU_JSON};
    quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "sum", .state_size = 8, .apply = add};
    int64_t sum = 0;
    quipu *store = NULL;
    quipu_error error = {0};
    int failed = quipu_open("hello.store", NULL, &store, &error) < 0 ||
                 quipu_append(store, "account-7", QUIPU_ANY, &paid, 1, NULL, &error) < 0 ||
                 quipu_load(store, &fold, "account-7", NULL, &sum, NULL, &error) < 0;

    printf("%s: %lld cents so far\n", failed ? error.text : "account-7", (long long)sum);
    quipu_close(store);
    return failed;
}
