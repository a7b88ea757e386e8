/* Which files of a tree are one: inodes with several names, and a number for each that the caller gives. */
#include "layers.h"

static struct link *find(const struct links *links, uint64_t inode, uint32_t device) {
    uint64_t hash = (inode ^ device) * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = hash % links->room;; i = (i + 1) % links->room) {
        struct link *slot = &links->slots[i];
        if (!slot->number || (slot->inode == inode && slot->device == device)) return slot;
    }
}

static int grow(struct links *links) {
    struct links grown = {NULL, links->count, links->room ? links->room * 2 : 64};
    if (!(grown.slots = calloc(grown.room, sizeof *grown.slots))) return -1;
    for (size_t i = 0; i < links->room; i++) {
        const struct link *old = &links->slots[i];
        if (old->number) *find(&grown, old->inode, old->device) = *old;
    }
    free(links->slots);
    *links = grown;
    return 0;
}

struct link *links_slot(struct links *links, const struct stat *st) {
    if (links->count * 4 >= links->room * 3 && grow(links)) return NULL;
    struct link *slot = find(links, st->st_ino, (uint32_t)st->st_dev);
    if (!slot->number) *slot = (struct link){st->st_ino, (uint32_t)st->st_dev, 0}, links->count++;
    return slot;
}

void links_free(struct links *links) {
    free(links->slots);
    *links = (struct links){0};
}
