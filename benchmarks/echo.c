/* The reference of all references: an MQTT 3.1.1 echo on one raw socket, as fast as C can.
 *
 * cc -O2 -o echo echo.c && ./echo HOST PORT IN OUT
 *
 * Reads what has arrived, sends every payload back with the QoS it came with, and acknowledges a
 * QoS 1 message when the broker has acknowledged its answer, as a worker does. Prints "ready" once
 * subscribed. It trusts the broker and the machine: it is no example for a client. */
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

static unsigned char in[SIZE], out[4 * SIZE];
static unsigned short waiting[65536]; /* id of an answer -> id of its message */
static size_t used;

static void put(const void *data, size_t length) {
    memcpy(out + used, data, length);
    used += length;
}

static void put_head(unsigned char kind, size_t length) {
    out[used++] = kind;
    do {
        unsigned char low = length & 127;
        length >>= 7;
        out[used++] = length ? low | 128 : low;
    } while (length);
}

static void put_string(const char *text) {
    size_t length = strlen(text);
    unsigned char head[2] = {length >> 8, length & 255};
    put(head, 2);
    put(text, length);
}

static void flush(int connection) {
    for (size_t sent = 0; sent < used;) {
        ssize_t count = write(connection, out + sent, used - sent);
        if (count <= 0) exit(0);
        sent += count;
    }
    used = 0;
}

static int dial(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int yes = 1;
    if (getaddrinfo(host, port, &hints, &found)) exit(2);
    int connection = socket(found->ai_family, SOCK_STREAM, 0);
    if (connect(connection, found->ai_addr, found->ai_addrlen)) exit(2);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    freeaddrinfo(found);
    return connection;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int connection = dial(argv[1], argv[2]);
    const char *topic_in = argv[3], *topic_out = argv[4];
    size_t topic_length = strlen(topic_out), held = 0;
    unsigned short last_id = 0;

    put_head(0x10, 10 + 2 + 6);
    put("\0\4MQTT\4\2\0\0", 10);
    put_string("c-echo");
    put_head(0x82, 2 + 2 + strlen(topic_in) + 1);
    put("\0\1", 2);
    put_string(topic_in);
    put("\1", 1);
    flush(connection);

    for (;;) {
        ssize_t count = read(connection, in + held, SIZE - held);
        if (count <= 0) return 0;
        held += count;
        size_t at = 0;
        while (held - at >= 2) {
            size_t length = 0, start = at + 1;
            int shift = 0, whole = 0;
            while (start < held && !whole) {
                length |= (size_t)(in[start] & 127) << shift;
                shift += 7;
                whole = in[start++] < 128;
            }
            if (!whole || start + length > held) break;
            unsigned char *body = in + start, kind = in[at];
            if ((kind & 0xF0) == 0x30) {
                size_t head = 2 + (body[0] << 8 | body[1]) + (kind & 6 ? 2 : 0);
                size_t extra = kind & 6 ? 2 : 0;
                put_head(kind & 6 ? 0x32 : 0x30, 2 + topic_length + extra + length - head);
                put_string(topic_out);
                if (extra) {
                    last_id = last_id % 65535 + 1;
                    waiting[last_id] = body[head - 2] << 8 | body[head - 1];
                    unsigned char id[2] = {last_id >> 8, last_id & 255};
                    put(id, 2);
                }
                put(body + head, length - head);
            } else if (kind == 0x40) {
                unsigned short id = waiting[body[0] << 8 | body[1]];
                unsigned char ack[4] = {0x40, 2, id >> 8, id & 255};
                put(ack, 4);
            } else if (kind == 0x90) {
                puts("ready");
                fflush(stdout);
            }
            at = start + length;
        }
        memmove(in, in + at, held - at);
        held -= at;
        if (used) flush(connection);
    }
}
