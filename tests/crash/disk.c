/* disk.c - see disk.h. */
#include "disk.h"

#include "support_system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, SECTOR = 512, FILES_MAX = 256, NAMES_MAX = 512, PENDING_MAX = 65536 };

/* A file: what the cache shows, and what the disk has for sure. */
struct file {
    uint64_t inode;
    bool directory;
    uint8_t *cache;
    size_t cache_size;
    uint8_t *durable;
    size_t durable_size;
    size_t room; /* of both */
};

struct name {
    uint64_t directory;
    uint64_t inode;
    char text[NAME_MAX + 1];
};

struct names {
    struct name list[NAMES_MAX];
    size_t count;
};

/* A page as it was after a write, or, without bytes, a file's new size, or a change of names. */
struct piece {
    size_t op;
    struct file *file; /* NULL: names */
    size_t page;
    size_t size; /* of the file after it */
    bool adrift;
    uint8_t *bytes;
};

struct op {
    struct crash_trace trace;
    const uint8_t *bytes;
};

struct crash_disk {
    uint64_t root;
    struct file files[FILES_MAX];
    size_t file_count;
    struct names names; /* that are durable */
    uint8_t *log;
    struct op *ops;
    size_t op_count;
    struct piece *pieces; /* in the order of their operations */
    size_t piece_count;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);

    CHECK(memory != NULL, "out of memory");
    return memory;
}

/* ---- files and names ------------------------------------------------------------------------- */

static struct file *find_file(struct crash_disk *disk, uint64_t inode)
{
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].inode == inode)
            return &disk->files[i];
    return NULL;
}

static struct file *add_file(struct crash_disk *disk, uint64_t inode, bool directory)
{
    struct file *file = find_file(disk, inode);

    if (file == NULL) {
        CHECK(disk->file_count < FILES_MAX, "too many files");
        file = &disk->files[disk->file_count++];
    } else {
        free(file->cache);
        free(file->durable);
    }
    *file = (struct file){.inode = inode, .directory = directory};
    return file;
}

static void make_room(struct file *file, size_t size)
{
    size_t room = file->room > 0 ? file->room : PAGE;

    while (room < size)
        room *= 2;
    if (room == file->room)
        return;
    file->cache = realloc(file->cache, room);
    file->durable = realloc(file->durable, room);
    CHECK(file->cache != NULL && file->durable != NULL, "out of memory");
    memset(file->cache + file->room, 0, room - file->room);
    memset(file->durable + file->room, 0, room - file->room);
    file->room = room;
}

static void set_name(struct names *names, uint64_t directory, const char *text, uint64_t inode)
{
    size_t at = 0;

    while (at < names->count &&
           (names->list[at].directory != directory || strcmp(names->list[at].text, text) != 0))
        at++;
    if (inode == 0) {
        if (at < names->count)
            names->list[at] = names->list[--names->count];
        return;
    }
    CHECK(at < NAMES_MAX, "too many names");
    if (at == names->count)
        names->count++;
    names->list[at].directory = directory;
    names->list[at].inode = inode;
    (void)strncpy(names->list[at].text, text, NAME_MAX);
}

static void apply_name(struct names *names, const struct op *op)
{
    const char *text = (const char *)op->bytes;

    if (op->trace.kind == TRACE_UNLINK) {
        set_name(names, op->trace.directory, text, 0);
    } else if (op->trace.kind == TRACE_RENAME) {
        set_name(names, op->trace.directory, text, 0);
        set_name(names, op->trace.directory_to, text + strlen(text) + 1, op->trace.inode);
    } else {
        set_name(names, op->trace.directory, text, op->trace.inode);
    }
}

/* ---- what is there before -------------------------------------------------------------------- */

static void load_file(struct crash_disk *disk, const char *path, uint64_t inode)
{
    struct file *file = add_file(disk, inode, false);
    size_t size = sys_file_size(path);

    make_room(file, size);
    sys_file_read(path, 0, file->cache, size);
    memcpy(file->durable, file->cache, size);
    file->cache_size = size;
    file->durable_size = size;
}

/* The area, and the store in it. */
static void load_directory(struct crash_disk *disk, const char *path, uint64_t inode)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    CHECK(directory != NULL, "read %s", path);
    (void)add_file(disk, inode, true);
    for (entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char child[SYS_PATH_BYTES];
        struct stat info;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        sys_join(child, path, entry->d_name);
        CHECK(lstat(child, &info) == 0, "stat %s", child);
        set_name(&disk->names, inode, entry->d_name, (uint64_t)info.st_ino);
        if (S_ISDIR(info.st_mode))
            load_directory(disk, child, (uint64_t)info.st_ino);
        else
            load_file(disk, child, (uint64_t)info.st_ino);
    }
    (void)closedir(directory);
}

struct crash_disk *crash_disk_load(const char *directory)
{
    struct crash_disk *disk = allocate(sizeof(*disk));
    struct stat info;

    CHECK(stat(directory, &info) == 0, "stat %s", directory);
    disk->root = (uint64_t)info.st_ino;
    load_directory(disk, directory, disk->root);
    disk->pieces = allocate(PENDING_MAX * sizeof(*disk->pieces));
    return disk;
}

void crash_disk_read_log(struct crash_disk *disk, const char *path)
{
    size_t size = sys_file_size(path);
    size_t at = 0;

    disk->log = allocate(size);
    sys_file_read(path, 0, disk->log, size);
    disk->ops = allocate((size / sizeof(struct crash_trace) + 1) * sizeof(*disk->ops));
    while (at < size) {
        struct op *op = &disk->ops[disk->op_count++];

        CHECK(size - at >= sizeof(op->trace), "a log that is cut off");
        memcpy(&op->trace, disk->log + at, sizeof(op->trace));
        at += sizeof(op->trace);
        CHECK(op->trace.size <= size - at, "a log that is cut off");
        op->bytes = disk->log + at;
        at += op->trace.size;
    }
}

void crash_disk_free(struct crash_disk *disk)
{
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].cache);
        free(disk->files[i].durable);
    }
    for (size_t i = 0; i < disk->piece_count; i++)
        free(disk->pieces[i].bytes);
    free(disk->pieces);
    free(disk->ops);
    free(disk->log);
    free(disk);
}

size_t crash_disk_ops(const struct crash_disk *disk)
{
    return disk->op_count;
}

const struct crash_trace *crash_disk_op(const struct crash_disk *disk, size_t op)
{
    return &disk->ops[op].trace;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static struct piece *add_piece(struct crash_disk *disk, size_t op, struct file *file)
{
    struct piece *piece = &disk->pieces[disk->piece_count++];

    CHECK(disk->piece_count < PENDING_MAX, "too much is pending");
    *piece = (struct piece){.op = op, .file = file};
    if (file != NULL)
        piece->size = file->cache_size;
    return piece;
}

static void begin_write(struct crash_disk *disk, size_t number, struct file *file)
{
    const struct op *op = &disk->ops[number];
    size_t end = op->trace.offset + op->trace.size;

    make_room(file, (end / PAGE + 1) * PAGE);
    memcpy(file->cache + op->trace.offset, op->bytes, op->trace.size);
    if (end > file->cache_size)
        file->cache_size = end;
    for (size_t page = op->trace.offset / PAGE; page * PAGE < end; page++) {
        struct piece *piece = add_piece(disk, number, file);

        piece->page = page;
        piece->bytes = allocate(PAGE);
        memcpy(piece->bytes, file->cache + page * PAGE, PAGE);
    }
}

void crash_disk_begin(struct crash_disk *disk, size_t number)
{
    const struct op *op = &disk->ops[number];
    struct file *file = find_file(disk, op->trace.inode);

    switch (op->trace.kind) {
    case TRACE_CREATE:
    case TRACE_MKDIR:
        (void)add_file(disk, op->trace.inode, op->trace.kind == TRACE_MKDIR);
        (void)add_piece(disk, number, NULL);
        break;
    case TRACE_RENAME:
    case TRACE_UNLINK:
        (void)add_piece(disk, number, NULL);
        break;
    case TRACE_WRITE:
        CHECK(file != NULL, "a write to an unknown file");
        begin_write(disk, number, file);
        break;
    case TRACE_SIZE:
        CHECK(file != NULL, "a new size of an unknown file");
        make_room(file, op->trace.offset + PAGE);
        if (op->trace.offset < file->cache_size)
            memset(file->cache + op->trace.offset, 0, file->cache_size - op->trace.offset);
        file->cache_size = op->trace.offset;
        (void)add_piece(disk, number, file);
        break;
    default:
        break;
    }
}

/* The disk has it for sure. */
static void harden(struct crash_disk *disk, struct piece *piece)
{
    if (piece->file == NULL) {
        apply_name(&disk->names, &disk->ops[piece->op]);
        return;
    }
    if (piece->bytes != NULL)
        memcpy(piece->file->durable + piece->page * PAGE, piece->bytes, PAGE);
    if (piece->bytes == NULL && piece->size < piece->file->durable_size)
        memset(piece->file->durable + piece->size, 0, piece->file->durable_size - piece->size);
    if (piece->bytes == NULL || piece->size > piece->file->durable_size)
        piece->file->durable_size = piece->size;
}

static bool touches(const struct crash_disk *disk, const struct piece *piece, uint64_t directory)
{
    const struct crash_trace *trace = &disk->ops[piece->op].trace;

    return trace->directory == directory ||
           (trace->kind == TRACE_RENAME && trace->directory_to == directory);
}

/* Of a flush of `inode`, or (`only`) of a write that waits for the disk. A page that is flushed
 * takes with it what was adrift of it before. */
static bool is_flushed(const struct crash_disk *disk, const struct piece *piece, uint64_t inode,
                       size_t only)
{
    if (piece->file == NULL)
        return only == SIZE_MAX && touches(disk, piece, inode);
    if (piece->file->inode != inode || piece->adrift)
        return false;
    return only == SIZE_MAX || piece->op == only;
}

/* A later piece of the same page is flushed: what the earlier one says no longer counts. */
static bool is_overtaken(const struct crash_disk *disk, size_t at, uint64_t inode, size_t only)
{
    const struct piece *piece = &disk->pieces[at];

    if (piece->file == NULL || piece->bytes == NULL)
        return false;
    for (size_t i = at + 1; i < disk->piece_count; i++) {
        const struct piece *later = &disk->pieces[i];

        if (later->file == piece->file && later->bytes != NULL && later->page == piece->page &&
            is_flushed(disk, later, inode, only))
            return true;
    }
    return false;
}

static void flush(struct crash_disk *disk, uint64_t inode, size_t only)
{
    size_t kept = 0;

    for (size_t i = 0; i < disk->piece_count; i++) {
        struct piece *piece = &disk->pieces[i];
        bool flushed = is_flushed(disk, piece, inode, only);

        if (flushed)
            harden(disk, piece);
        if (flushed || is_overtaken(disk, i, inode, only))
            free(piece->bytes);
        else
            disk->pieces[kept++] = *piece;
    }
    disk->piece_count = kept;
}

static void set_adrift(struct crash_disk *disk, uint64_t inode, size_t only)
{
    for (size_t i = 0; i < disk->piece_count; i++)
        if (disk->pieces[i].file != NULL && is_flushed(disk, &disk->pieces[i], inode, only))
            disk->pieces[i].adrift = true;
}

void crash_disk_end(struct crash_disk *disk, size_t number)
{
    const struct crash_trace *trace = &disk->ops[number].trace;
    size_t only = trace->kind == TRACE_SYNC ? SIZE_MAX : number;

    if (trace->kind != TRACE_SYNC &&
        (trace->kind != TRACE_WRITE || (trace->flags & TRACE_DSYNC) == 0))
        return;
    if ((trace->flags & TRACE_FAILED) != 0)
        set_adrift(disk, trace->inode, only);
    else
        flush(disk, trace->inode, only);
}

/* ---- the power cut --------------------------------------------------------------------------- */

size_t crash_disk_pending(const struct crash_disk *disk)
{
    size_t count = 0;

    for (size_t i = 0; i < disk->piece_count; i++)
        count += i == 0 || disk->pieces[i].op != disk->pieces[i - 1].op;
    return count;
}

/* Which of the pending operations have reached the disk; the n-th of them is `torn`. */
static void choose(const struct crash_disk *disk, enum crash_cut cut, struct sys_random *random,
                   bool *chosen, size_t *torn)
{
    size_t count = crash_disk_pending(disk);
    size_t one = (size_t)sys_below(random, count);
    unsigned percent = 10 + (unsigned)sys_below(random, 80);

    *torn = cut == CUT_TORN ? one : SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        bool lucky = sys_chance(random, percent);

        chosen[i] = cut == CUT_ALL || (cut == CUT_DROP && i != one) ||
                    (cut == CUT_ONLY && i == one) ||
                    (cut >= CUT_RANDOM && cut != CUT_DROP && cut != CUT_ONLY && lucky);
    }
    if (cut == CUT_TORN && count > 0)
        chosen[one] = true;
}

static void put(int fd, const void *bytes, size_t size, size_t at)
{
    CHECK(pwrite(fd, bytes, size, (off_t)at) == (ssize_t)size, "write the image: %s",
          strerror(errno));
}

/* A page of which some sectors have reached the disk: those before one, or any of them. */
static void put_torn(int fd, const struct piece *piece, struct sys_random *random)
{
    bool in_order = sys_chance(random, 50);
    size_t end = (size_t)sys_below(random, PAGE / SECTOR + 1);

    for (size_t i = 0; i < PAGE / SECTOR; i++)
        if (in_order ? i < end : sys_chance(random, 50))
            put(fd, piece->bytes + i * SECTOR, SECTOR, piece->page * PAGE + i * SECTOR);
}

static void write_file(const struct crash_disk *disk, const struct file *file, const bool *chosen,
                       size_t torn, struct sys_random *random, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = file->durable_size;
    size_t number = SIZE_MAX;

    CHECK(fd >= 0, "make %s: %s", path, strerror(errno));
    if (size > 0)
        put(fd, file->durable, size, 0);
    for (size_t i = 0; i < disk->piece_count; i++) {
        const struct piece *piece = &disk->pieces[i];

        number += i == 0 || piece->op != disk->pieces[i - 1].op;
        if (piece->file != file || !chosen[number])
            continue;
        if (piece->bytes != NULL && number == torn)
            put_torn(fd, piece, random);
        else if (piece->bytes != NULL)
            put(fd, piece->bytes, PAGE, piece->page * PAGE);
        if (piece->bytes == NULL || piece->size > size)
            size = piece->size;
    }
    CHECK(ftruncate(fd, (off_t)size) == 0, "size of %s", path);
    (void)close(fd);
}

static const struct file *file_of(const struct crash_disk *disk, uint64_t inode)
{
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].inode == inode)
            return &disk->files[i];
    CHECK(false, "a name of an unknown file");
    return NULL;
}

/* What was renamed is told from what it was: a directory's names go with it. Directories first. */
static void write_names(const struct crash_disk *disk, const struct names *names,
                        const bool *chosen, size_t torn, struct sys_random *random,
                        const char *directory)
{
    for (size_t i = 0; i < names->count; i++) {
        char path[SYS_PATH_BYTES];
        const struct file *file = file_of(disk, names->list[i].inode);

        if (names->list[i].directory != disk->root)
            continue;
        sys_join(path, directory, names->list[i].text);
        if (!file->directory) {
            write_file(disk, file, chosen, torn, random, path);
            continue;
        }
        CHECK(mkdir(path, 0700) == 0, "make %s", path);
        for (size_t j = 0; j < names->count; j++) {
            char inner[SYS_PATH_BYTES];

            if (names->list[j].directory != file->inode)
                continue;
            sys_join(inner, path, names->list[j].text);
            write_file(disk, file_of(disk, names->list[j].inode), chosen, torn, random, inner);
        }
    }
}

void crash_disk_cut(const struct crash_disk *disk, enum crash_cut cut, struct sys_random *random,
                    const char *directory)
{
    struct names *names = allocate(sizeof(*names));
    bool *chosen = allocate(disk->piece_count + 1);
    size_t number = SIZE_MAX;
    size_t torn;

    choose(disk, cut, random, chosen, &torn);
    *names = disk->names;
    for (size_t i = 0; i < disk->piece_count; i++) {
        number += i == 0 || disk->pieces[i].op != disk->pieces[i - 1].op;
        if (disk->pieces[i].file == NULL && chosen[number])
            apply_name(names, &disk->ops[disk->pieces[i].op]);
    }
    sys_remove(directory);
    CHECK(mkdir(directory, 0700) == 0, "make %s", directory);
    write_names(disk, names, chosen, torn, random, directory);
    free(chosen);
    free(names);
}
