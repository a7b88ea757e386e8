/* Bytes and arrays that grow. */
#include "layers.h"

#include <stdio.h>

void *array_grow(void *array, size_t count, size_t *room, size_t item) {
    if (count < *room) return array;
    size_t wanted = *room ? *room * 2 : 16;
    void *grown = reallocarray(array, wanted, item);
    if (grown) *room = wanted;
    return grown;
}

int buffer_add(struct buffer *buffer, const void *bytes, size_t size) {
    if (buffer->room - buffer->size <= size) {
        size_t room = (buffer->size + size + 64) * 2;
        char *grown = realloc(buffer->bytes, room);
        if (!grown) return -1;
        buffer->bytes = grown;
        buffer->room = room;
    }
    if (size) memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    buffer->bytes[buffer->size] = 0;
    return 0;
}

void buffer_free(struct buffer *buffer) {
    int saved = errno;
    free(buffer->bytes);
    *buffer = (struct buffer){0};
    errno = saved;
}

char *path_join(const char *parent, const char *name) {
    char *path = NULL;
    if (!*parent) return strdup(name);
    return asprintf(&path, "%s/%s", parent, name) < 0 ? NULL : path;
}

const char *path_split(const char *path, char **parent) {
    const char *slash = strrchr(path, '/');
    *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
    return slash ? slash + 1 : path;
}
