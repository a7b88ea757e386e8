/* Inodes with several names, by (tree, device, inode): one inode in two trees is two files to an image. */
#include "layers.h"

static struct inode_name *slot_of(const struct inodes *inodes, int tree, dev_t device, ino_t inode) {
    uint64_t hash = ((uint64_t)inode * 0x9E3779B97F4A7C15u) ^ device ^ ((uint64_t)tree << 32);
    for (size_t i = hash % inodes->room;; i = (i + 1) % inodes->room) {
        struct inode_name *slot = &inodes->slots[i];
        if (!slot->path || (slot->device == device && slot->inode == inode && slot->tree == tree)) return slot;
    }
}

static int grow(struct inodes *inodes) {
    if (inodes->count * 2 < inodes->room) return 0;
    struct inodes grown = {NULL, inodes->count, inodes->room ? inodes->room * 2 : 64};
    if (!(grown.slots = calloc(grown.room, sizeof *grown.slots))) return -1;
    for (size_t i = 0; i < inodes->room; i++) {
        const struct inode_name *old = &inodes->slots[i];
        if (old->path) *slot_of(&grown, old->tree, old->device, old->inode) = *old;
    }
    free(inodes->slots);
    *inodes = grown;
    return 0;
}

int inodes_seen(struct inodes *inodes, int tree, const struct stat *st, const char *path, const char **first) {
    *first = NULL;
    if (st->st_nlink < 2) return 0;
    if (grow(inodes)) return -1;
    struct inode_name *slot = slot_of(inodes, tree, st->st_dev, st->st_ino);
    if (slot->path) return *first = slot->path, 0;
    *slot = (struct inode_name){tree, st->st_dev, st->st_ino, strdup(path)};
    inodes->count++;
    return slot->path ? 0 : -1;
}

void inodes_free(struct inodes *inodes) {
    for (size_t i = 0; i < inodes->room; i++) free(inodes->slots[i].path);
    free(inodes->slots);
    *inodes = (struct inodes){0};
}
