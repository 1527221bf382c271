/* Two functions in C, without a libc: what the guest ABI asks of a module, and no more.
 *
 * `hello-c` says which method and path it was asked. `echo-c` sends the request's body back as it arrives, which
 * shows how a guest waits: it returns. `./build` beside this file compiles it; the book's page "The guest ABI" shows
 * it whole.
 */

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __INT32_TYPE__ i32;

#define IMPORT(name) __attribute__((import_module("faas_v1"), import_name(#name))) name
#define EXPORT(name) __attribute__((export_name(#name))) name

i32 IMPORT(request_head)(u32 call, void *buf, u32 cap);
i32 IMPORT(body_read)(u32 call, void *buf, u32 cap);
i32 IMPORT(response_head)(u32 call, const void *ptr, u32 len);
i32 IMPORT(body_write)(u32 call, const void *ptr, u32 len);

enum { POLL_PENDING = 0, POLL_DONE = 1 }; /* what faas_v1_poll returns */
enum { STATUS_PENDING = -1 };             /* what an import returns when there is nothing yet */

/* The manifest: one line of JSON a function, in a custom section, where the host reads it without running us. */
__asm__(".section .custom_section.faas.manifest,\"\",@\n"
        ".ascii \"{\\\"abi\\\":1,\\\"name\\\":\\\"hello-c\\\",\\\"handler\\\":\\\"hello.c\\\",\\\"kind\\\":\\\"http\\\"}\\n\"\n"
        ".ascii \"{\\\"abi\\\":1,\\\"name\\\":\\\"echo-c\\\",\\\"handler\\\":\\\"hello.c\\\",\\\"kind\\\":\\\"http\\\"}\\n\"\n");

/* ---- the one call that is under way (our functions leave `concurrency` at 1) ---- */

static struct {
    enum { IDLE, READING, WRITING } step;
    u8 chunk[4096];
    u32 from, to; /* what of `chunk` is still to be written */
} state;

/* ---- reading a request head: little-endian integers; strings are a u32 length and their bytes ---- */

typedef struct { const u8 *at; u32 len; } str;

static u32 get_u32(const u8 **at) {
    const u8 *p = *at;
    *at += 4;
    return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

static str get_str(const u8 **at) {
    u32 len = get_u32(at);
    str s = {*at, len};
    *at += len;
    return s;
}

static int equals(str s, const char *text) {
    u32 i = 0;
    while (i < s.len && text[i] && s.at[i] == (u8)text[i]) i++;
    return i == s.len && !text[i];
}

/* ---- writing a reply ---- */

static void put(u8 **at, const void *bytes, u32 len) {
    for (u32 i = 0; i < len; i++) *(*at)++ = ((const u8 *)bytes)[i];
}

static void put_u32(u8 **at, u32 n) {
    u8 bytes[4] = {(u8)n, (u8)(n >> 8), (u8)(n >> 16), (u8)(n >> 24)};
    put(at, bytes, 4);
}

static void put_text(u8 **at, const char *text) {
    u32 len = 0;
    while (text[len]) len++;
    put_u32(at, len);
    put(at, text, len);
}

static void reply(u32 call, u16 status) {
    u8 head[64], *end = head;
    u8 bytes[3] = {(u8)status, (u8)(status >> 8), 0 /* no fault */};
    put(&end, bytes, 3);
    put_u32(&end, 1); /* headers */
    put_text(&end, "content-type");
    put_text(&end, "text/plain; charset=utf-8");
    response_head(call, head, (u32)(end - head));
}

/* Writes what `chunk` still holds. False when the reader is slower than we are: then the host polls us again. */
static int flush(u32 call) {
    while (state.from < state.to) {
        i32 n = body_write(call, state.chunk + state.from, state.to - state.from);
        if (n == STATUS_PENDING) return 0;
        if (n < 0) break; /* over a limit, or nobody listens: the host knows, and ends the call */
        state.from += (u32)n;
    }
    state.from = state.to = 0;
    return 1;
}

/* ---- the two functions ---- */

static void hello(u32 call, str method, str uri) {
    u8 *end = state.chunk;
    put(&end, "hello from C: ", 14);
    put(&end, method.at, method.len);
    put(&end, " ", 1);
    put(&end, uri.at, uri.len < 1024 ? uri.len : 1024);
    put(&end, "\n", 1);
    state.to = (u32)(end - state.chunk);
    reply(call, 200);
    state.step = WRITING;
}

static i32 echo(u32 call) {
    for (;;) {
        if (!flush(call)) return POLL_PENDING;
        i32 n = body_read(call, state.chunk, sizeof state.chunk);
        if (n == STATUS_PENDING) return POLL_PENDING;
        if (n <= 0) break; /* the end, or the client has gone */
        state.to = (u32)n;
    }
    state.step = IDLE;
    return POLL_DONE;
}

/* ---- what the host calls ---- */

i32 EXPORT(faas_v1_init)(void) { return 0; }

i32 EXPORT(faas_v1_poll)(u32 call) {
    if (state.step == IDLE) { /* the first poll of this call */
        static u8 head[16384];
        i32 len = request_head(call, head, sizeof head);
        if (len < 0 || (u32)len > sizeof head) {
            reply(call, 431);
            return POLL_DONE;
        }
        const u8 *at = head;
        str function = get_str(&at);
        get_str(&at); /* request id */
        at += 8 + 4 + 8; /* deadline, memory, generation */
        str method = get_str(&at);
        str uri = get_str(&at);
        if (equals(function, "echo-c")) {
            reply(call, 200);
            state.step = READING;
        } else {
            hello(call, method, uri);
        }
    }
    if (state.step == READING) return echo(call);
    if (!flush(call)) return POLL_PENDING;
    state.step = IDLE;
    return POLL_DONE;
}

/* The call has been given up, perhaps before its first poll. */
void EXPORT(faas_v1_cancel)(u32 call) {
    (void)call;
    state.from = state.to = 0;
    state.step = IDLE;
}
