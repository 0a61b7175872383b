/* plugin.c - dlopen(3), and what is looked at before anything in a plugin is called.
 *
 * The library's functions that it calls are this program's own, which exports them. A name without
 * a '/' is a file of the current folder, as with every other file that the tool is given: not one
 * that is searched for where libraries are. */
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAJOR(version) ((unsigned)(version) / 10000)

typedef const quipu_plugin *(*get_fn)(void);

/* Returns: INVALID with its problem. */
static int refuse(struct qt_run *run, const char *path, const char *why)
{
    if (strstr(why, path) != NULL) /* as dlerror(3) does */
        return qt_problem_say(&run->problem, QUIPU_INVALID, "%.500s", why);
    return qt_problem_say(&run->problem, QUIPU_INVALID, "%.300s: %.200s", path, why);
}

/* Returns: the object, or NULL with its problem. */
static void *open_object(struct qt_run *run, const char *path)
{
    size_t size = strlen(path) + sizeof("./");
    char *name = malloc(size);
    void *object;

    if (name == NULL) {
        (void)qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
        return NULL;
    }
    (void)snprintf(name, size, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    object = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL && access(name, F_OK) != 0)
        (void)qt_problem_say(&run->problem, QUIPU_NOT_FOUND, "no such file: %.300s", path);
    else if (object == NULL)
        (void)refuse(run, path, dlerror());
    free(name);
    return object;
}

/* A pointer to a function that came as one to data: POSIX promises that both have one size. */
static get_fn find_get(void *object)
{
    void *found = dlsym(object, "quipu_plugin_get");
    get_fn get = NULL;

    memcpy(&get, &found, sizeof(get));
    return get;
}

/* Are its projections and folds there, and have names? All else of them the library looks at. */
static bool is_whole(const quipu_plugin *given)
{
    if ((given->projections == NULL && given->projection_count > 0) ||
        (given->folds == NULL && given->fold_count > 0) ||
        (given->upcasters == NULL && given->upcaster_count > 0))
        return false;
    for (size_t i = 0; i < given->fold_count; i++)
        if (given->folds[i] == NULL || given->folds[i]->name == NULL)
            return false;
    for (size_t i = 0; i < given->projection_count; i++)
        if (given->projections[i] == NULL || given->projections[i]->name == NULL)
            return false;
    return true;
}

/* A larger struct than ours has members that nobody here would look at: it is refused. */
static int copy_given(struct qt_plugin *plugin, struct qt_run *run, const quipu_plugin *given)
{
    size_t size = sizeof(plugin->given);

    if (given == NULL)
        return refuse(run, plugin->path, "the plugin does not want to be used");
    if (MAJOR(given->version) != MAJOR(quipu_version()) || given->struct_size > size)
        return refuse(run, plugin->path, "the plugin was built for another release of Quipu");
    memcpy(&plugin->given, given, given->struct_size > 0 ? given->struct_size : size);
    return is_whole(&plugin->given) ? 0 : refuse(run, plugin->path, "the plugin is not whole");
}

int qt_plugin_load(struct qt_plugin *plugin, struct qt_run *run)
{
    const char *path = qt_args_text(&run->args, "plugin");
    get_fn get;

    *plugin = (struct qt_plugin){.path = path};
    if (path == NULL)
        return 0;
    plugin->object = open_object(run, path);
    if (plugin->object == NULL)
        return run->problem.status;
    get = find_get(plugin->object);
    if (get == NULL)
        return refuse(run, path, "no plugin: it has no function quipu_plugin_get");
    return copy_given(plugin, run, get());
}

int qt_plugin_register(const struct qt_plugin *plugin, struct qt_run *run, quipu *store)
{
    for (size_t i = 0; i < plugin->given.upcaster_count; i++) {
        quipu_error error = {0};
        int rc = quipu_register_upcaster(store, plugin->given.upcasters[i], &error);

        if (rc < 0)
            return qt_problem_library(&run->problem, rc, &error, plugin->path);
    }
    return 0;
}

int qt_plugin_use(struct qt_plugin *plugin, struct qt_run *run, quipu *store)
{
    int rc = qt_plugin_load(plugin, run);

    if (rc == 0)
        rc = qt_plugin_register(plugin, run, store);
    return rc == 0 && plugin->object != NULL ? 1 : rc;
}

const quipu_projection *qt_plugin_projection(const struct qt_plugin *plugin, const char *name)
{
    for (size_t i = 0; i < plugin->given.projection_count; i++)
        if (strcmp(plugin->given.projections[i]->name, name) == 0)
            return plugin->given.projections[i];
    return NULL;
}

void qt_plugin_unload(struct qt_plugin *plugin)
{
    if (plugin->object != NULL)
        (void)dlclose(plugin->object);
    *plugin = (struct qt_plugin){0};
}
