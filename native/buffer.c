/* Bytes and arrays that grow. */
#include "layers.h"

#include <stdarg.h>
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

int buffer_format(struct buffer *buffer, const char *format, ...) {
    FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0) {
        text = NULL;
        return -1;
    }
    return buffer_add(buffer, text, (size_t)size);
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
