/* plugin.h - an application's functions out of a shared object: see quipu_plugin in quipu.h. */
#ifndef QT_PLUGIN_H
#define QT_PLUGIN_H

#include "command.h"
#include "quipu.h"

struct qt_plugin {
    const char *path;
    void *object;       /* NULL: none is loaded */
    quipu_plugin given; /* a copy, in the shape of our release */
};

/* Load the one that --plugin names; without it nothing is done.
 *
 * Returns: 0, or a status with run->problem. Unload it in any case, after the store is closed. */
int qt_plugin_load(struct qt_plugin *plugin, struct qt_run *run);
void qt_plugin_unload(struct qt_plugin *plugin);

/* Let its upcasters take part. Returns: 0, or a status with run->problem. */
int qt_plugin_register(const struct qt_plugin *plugin, struct qt_run *run, quipu *store);

/* Load and register it: for verbs that read by it. Returns: 1 if there is one, 0 if there is none,
 * or a status with run->problem. */
int qt_plugin_use(struct qt_plugin *plugin, struct qt_run *run, quipu *store);

/* Its projection of this name, or NULL. */
const quipu_projection *qt_plugin_projection(const struct qt_plugin *plugin, const char *name);

/* For verbs that print events. */
#define QT_UPCAST_OPTION                                                                           \
    {                                                                                              \
        .name = "plugin", .value = "FILE",                                                         \
        .help = "events as its upcasters make them: see quipu help project", .kind = QT_TEXT       \
    }

#define QT_PLUGIN_OPTION                                                                           \
    {                                                                                              \
        .name = "plugin", .value = "FILE", .help = "functions of this shared object; see below",   \
        .kind = QT_TEXT                                                                            \
    }

#endif
