/* Inodes with several names, by (tree, device, inode): one inode in two trees is two files to an image. */
#include "layers.h"

static struct link *slot_of(const struct links *links, int tree, dev_t device, ino_t inode) {
    uint64_t hash = ((uint64_t)inode * 0x9E3779B97F4A7C15u) ^ device ^ ((uint64_t)tree << 32);
    for (size_t i = hash % links->room;; i = (i + 1) % links->room) {
        struct link *slot = &links->slots[i];
        if (!slot->path || (slot->device == device && slot->inode == inode && slot->tree == tree)) return slot;
    }
}

static int grow(struct links *links) {
    if (links->count * 2 < links->room) return 0;
    struct links grown = {NULL, links->count, links->room ? links->room * 2 : 64};
    if (!(grown.slots = calloc(grown.room, sizeof *grown.slots))) return -1;
    for (size_t i = 0; i < links->room; i++) {
        const struct link *old = &links->slots[i];
        if (old->path) *slot_of(&grown, old->tree, old->device, old->inode) = *old;
    }
    free(links->slots);
    *links = grown;
    return 0;
}

int links_seen(struct links *links, int tree, const struct stat *st, const char *path, const char **first) {
    *first = NULL;
    if (st->st_nlink < 2) return 0;
    if (grow(links)) return -1;
    struct link *slot = slot_of(links, tree, st->st_dev, st->st_ino);
    slot->again = slot->path;
    if (slot->path) return *first = slot->path, 0;
    *slot = (struct link){tree, st->st_dev, st->st_ino, false, strdup(path)};
    links->count++;
    return slot->path ? 0 : -1;
}

bool links_again(const struct links *links, int tree, const struct stat *st) {
    return links->room && slot_of(links, tree, st->st_dev, st->st_ino)->again;
}

void links_free(struct links *links) {
    for (size_t i = 0; i < links->room; i++) free(links->slots[i].path);
    free(links->slots);
    *links = (struct links){0};
}
