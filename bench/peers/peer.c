/* peer.c - the list of peers. One that was not found when this was built keeps its name, so that it
 * can be left out with a word instead of being called unknown. */
#include "peer.h"

struct known_peer {
    const char *name;
    const struct bench_peer *peer;
};

#ifdef BENCH_HAVE_SQLITE
#define PEER_SQLITE &bench_peer_sqlite
#else
#define PEER_SQLITE NULL
#endif

static const struct known_peer known_peers[] = {{"sqlite", PEER_SQLITE},
                                                {"lmdb", &bench_peer_lmdb},
                                                {"file", &bench_peer_file},
                                                {"inline", &bench_peer_inline}};

enum { KNOWN_COUNT = sizeof(known_peers) / sizeof(known_peers[0]) };

const char *bench_peer_name(size_t n)
{
    return n < KNOWN_COUNT ? known_peers[n].name : NULL;
}

const struct bench_peer *bench_peer_at(size_t n)
{
    return n < KNOWN_COUNT ? known_peers[n].peer : NULL;
}
