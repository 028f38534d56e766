// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dmd_config.c - what vhost-dmd reads of an administrator: guests' files, templates of back-ends, JSON
 * files, and what comes of them. Each error must name the file, the line, the key and what is allowed;
 * nothing may be read out of bounds, whatever the file is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "dmd/plan.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/vhost-dm-test.XXXXXX";
static char why[512];
static struct config_daemon daemon_config;
static struct config_guest *guest;
static struct plan *plan;

static const char *path_of(const char *name)
{
    static char path[64][256];
    static unsigned next;
    char *p = path[next++ % 64];

    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void file_write(const char *name, const void *text, size_t len)
{
    FILE *f;

    unlink(path_of(name)); /* some file systems wait for the disk when a file is cut and written again */
    f = fopen(path_of(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static void text_write(const char *name, const char *text)
{
    file_write(name, text, strlen(text));
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mkdir(path_of("json1"), 0700), 0);
    ck_assert_int_eq(mkdir(path_of("json2"), 0700), 0);
    guest = calloc(1, sizeof(*guest));
    plan = calloc(1, sizeof(*plan));
    ck_assert_int_eq(config_daemon_read(&daemon_config, "/nonexistent", why, sizeof(why)), 0);
}

static void teardown(void)
{
    char command[64];

    plan_clear(plan);
    free(plan);
    free(guest);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static int guest_read(const char *text)
{
    text_write("g.conf", text);
    why[0] = '\0';
    return config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why));
}

/* ---- a guest's file -------------------------------------------------------------------------- */

START_TEST(guest_good)
{
    ck_assert_int_eq(guest_read("# a comment\n"
                                "[guest]\n"
                                "on-failure = keep\n"
                                "start-timeout=7 ; another\n"
                                "\n"
                                "[blk0]\n"
                                "socket=/run/x.sock\n"
                                "queues=2\n"
                                "slot=0x11\n"
                                "[blk1]\n"
                                "[data]\n"
                                "type=blk\n"
                                "back-end=qemu-storage-daemon file=\"/a b\" format=qcow2"),
                     0);
    ck_assert_int_eq(guest->settings.on_failure, ON_FAILURE_KEEP);
    ck_assert_uint_eq(guest->settings.start_timeout, 7);
    ck_assert_uint_eq(guest->nr_devices, 3);
    ck_assert_str_eq(guest->devices[0].options, ",queues=2,slot=0x11");
    ck_assert_str_eq(guest->devices[0].socket, "/run/x.sock");
    ck_assert_str_eq(guest->devices[1].name, "blk1");
    ck_assert_str_eq(guest->devices[2].back_end, "qemu-storage-daemon file=\"/a b\" format=qcow2");
}
END_TEST

/* What is wrong, the line that is named, and words of the message. */
static const struct bad {
    const char *text;
    int line;
    const char *words[3];
} bad_guests[] = {
    {"type=blk\n", 1, {"type", "before the first"}},
    {"[blk0]\nslot=99\n", 2, {"slot=99", "1 to 31"}},
    {"[blk0]\n\n\nqueues=0\n", 4, {"queues=0", "1 to 64"}},
    {"[blk0]\ncolour=red\n", 2, {"unknown key 'colour'", " mac", "back-end"}},
    {"[blk0]\nqueues=1\nqueues=1\n", 3, {"queues", "twice"}},
    {"[blk0]\nsocket=relative\n", 2, {"socket=relative", "absolute"}},
    {"[blk0]\nsocket=/a,b\n", 2, {"socket", "comma"}},
    {"[blk0]\n[blk0]\n", 2, {"[blk0]", "already in line 1"}},
    {"[guest]\non-failure=panic\n", 2, {"on-failure=panic", "release or keep"}},
    {"[guest]\nstart-timeout=0\n", 2, {"start-timeout=0", "1 to 3600"}},
    {"[guest]\nstart-timeout=5x\n", 2, {"start-timeout=5x"}},
    {"[guest]\ncolour=1\n", 2, {"unknown key 'colour'", "on-failure"}},
    {"[blk0]\n  type=blk\n  queues=1\n", 3, {"blank", "type"}},
    {"[blk0]\nnothing\n", 2, {"KEY=VALUE"}},
    {"[blk0]\n=5\n", 2, {"KEY=VALUE"}},
    {"[blk0\nqueues=1\n", 1, {"[NAME]"}},
    {"[]\n", 1, {"[NAME]"}},
    {"[../x]\n", 1, {"[../x]", "letters"}},
    {"[0]\n", 1, {"[0]"}},
    {"[blk0]\nback-end=a\nback-end=b\n", 3, {"back-end", "once"}},
    {"[net0]\nmtu=5\n", 2, {"mtu=5", "must be"}},
    {"[net0]\nmac=5\n", 2, {"mac=5", "must be"}},
    {"[fs0]\ntag=0123456789012345678901234567890123456789\n", 2, {"tag=", "must be"}},
    {"[vsock0]\ncid=1\n", 2, {"cid=1", "must be"}},
    {"[x]\ntype=generic\nvirtio-id=99\n", 3, {"virtio-id=99", "1 to 63"}},
    {"[x]\ntype=generic\nconfig-size=1T\n", 3, {"config-size=1T", "must be"}},
    {"[blk0]\n  queues=1\n  [blk1]\n  slot=3\n", 3, {"blank", "queues"}},
    {"[blk0]\n  back-end=a\n  [blk1]\n", 3, {"blank", "back-end"}},
    {"\xef\xbb\xbf[blk0]\n", 1, {"byte order mark"}},
    {"[guest]\nshm-limit=10T\n", 2, {"shm-limit=10T", "1024G"}},
    {"[guest]\nshm-limit=1025G\n", 2, {"shm-limit=1025G", "1024G"}},
    {"[guest]\nshm-limit=5000\n", 2, {"shm-limit=5000", "4K"}},
    {"[guest]\nshm-limit=-1\n", 2, {"shm-limit=-1", "4K"}},
};

START_TEST(guest_bad)
{
    const struct bad *bad = &bad_guests[_i];
    char place[64];

    ck_assert_int_lt(guest_read(bad->text), 0);
    snprintf(place, sizeof(place), "%s/g.conf:%d: ", dir, bad->line);
    ck_assert_msg(strncmp(why, place, strlen(place)) == 0, "'%s' does not begin with '%s'", why, place);
    for (int i = 0; i < 3 && bad->words[i] != NULL; i++)
        ck_assert_msg(strstr(why, bad->words[i]) != NULL, "'%s' does not say '%s'", why, bad->words[i]);
}
END_TEST

/* What is to become of the guest counts wherever it stands; nothing else of a file with a mistake does. */
START_TEST(guest_bad_settings)
{
    static const char *const mistakes[] = {"[blk0]\nslot=99\n",
                                           "[blk0\n",
                                           "[blk0]\nnothing\n",
                                           "=\n",
                                           "type=blk\n",
                                           "[guest]\ncolour=1\n",
                                           "[blk0]\n[blk0]\n",
                                           "[]\n",
                                           "\x01\n",
                                           "[blk0]\n\tsocket=/x\n",
                                           "[guest]\non-failure=panic\n"};
    char text[1000];

    snprintf(
        text, sizeof(text),
        "%s[guest]\nconfine=off\nstart-timeout=0\non-failure=keep\n[blk1]\nqueues=0\non-failure=release\n",
        mistakes[_i]);
    ck_assert_int_eq(guest_read(text), -EINVAL);
    ck_assert_int_eq(guest->settings.on_failure, ON_FAILURE_KEEP);
    ck_assert_str_eq(guest->settings.confine, "off");
    ck_assert_uint_eq(guest->settings.start_timeout, daemon_config.defaults.start_timeout);
}
END_TEST

START_TEST(guest_bad_lines)
{
    static const char nul[] = "[blk0]\nqueues=\0001\n[guest]\non-failure=keep";
    char text[1000];
    size_t len = (size_t)snprintf(text, sizeof(text), "[blk0]\nsocket=/");

    memset(text + len, 'x', 400);
    strcpy(text + len + 400, "\n[guest]\non-failure=keep\n");
    ck_assert_int_eq(guest_read(text), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, ":2: longer than"));
    ck_assert_int_eq(guest->settings.on_failure, ON_FAILURE_KEEP);
    file_write("g.conf", nul, sizeof(nul) - 1);
    ck_assert_int_eq(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, ":2: a NUL"));
    ck_assert_int_eq(guest->settings.on_failure, ON_FAILURE_KEEP);
    /* Who may write anything says nothing. */
    text_write("g.conf", "[blk0]\nslot=99\n[guest]\non-failure=keep\n");
    ck_assert_int_eq(chmod(path_of("g.conf"), 0666), 0);
    ck_assert_int_eq(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), -EPERM);
    ck_assert_int_eq(guest->settings.on_failure, ON_FAILURE_RELEASE);
}
END_TEST

START_TEST(guest_bounds)
{
    static char text[400 * 1024];
    size_t len = 0;

    memset(text, 'x', sizeof(text) - 1);
    ck_assert_int_lt(guest_read(text), 0); /* too large */
    text[3000] = '\0';
    ck_assert_int_lt(guest_read(text), 0); /* a long line */
    ck_assert_ptr_nonnull(strstr(why, "longer than"));
    for (int i = 0; i < CONFIG_MAX_DEVICES + 1; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "[blk%d]\n", i);
    ck_assert_int_lt(guest_read(text), 0);
    ck_assert_ptr_nonnull(strstr(why, "more than 31"));
    file_write("g.conf", "[blk0]\nqueues=\0001\n", 18);
    ck_assert_int_lt(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "NUL"));
    ck_assert_int_eq(unlink(path_of("g.conf")), 0);
    ck_assert_int_eq(mkdir(path_of("g.conf"), 0700), 0);
    ck_assert_int_lt(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), 0);
    ck_assert_int_eq(rmdir(path_of("g.conf")), 0);
    ck_assert_int_eq(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), 0);
    ck_assert(!guest->there);
}
END_TEST

START_TEST(guest_writable_by_all)
{
    text_write("g.conf", "[blk0]\n");
    ck_assert_int_eq(chmod(path_of("g.conf"), 0666), 0);
    ck_assert_int_eq(config_guest_read(guest, dir, "g", &daemon_config, why, sizeof(why)), -EPERM);
}
END_TEST

START_TEST(guest_names)
{
    static const char *const bad[] = {"", ".", "..", "../g", "a/b", "a\nb", ".hidden"};
    char name[200];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert(!config_guest_name_good(bad[i]));
    memset(name, 'a', sizeof(name));
    name[CONFIG_GUEST_NAME_LEN] = '\0';
    ck_assert(!config_guest_name_good(name));
    name[CONFIG_GUEST_NAME_LEN - 1] = '\0';
    ck_assert(config_guest_name_good(name));
    ck_assert_int_lt(config_guest_read(guest, dir, "../g", &daemon_config, why, sizeof(why)), 0);
}
END_TEST

/* Pieces of files in random order: an answer each time, and nothing else. */
START_TEST(guest_random)
{
    static const char *const pieces[] = {
        "[",        "]",    "[blk0]\n", "[guest]\n", "type=blk\n", "=",         "\n",      " ",  "\t",
        "queues=2", "\r\n", ";",        "#",         "\"",         "back-end=", "socket=", "/x", ",",
        "\x01",     "\xff", "slot",     ":",         "[data]\n",   "a",         "0",       "\\", "{}",
    };
    char text[2000];

    unit_random_start();
    for (unsigned long n = unit_count(20000); n > 0; n--) {
        size_t len = 0;

        for (uint64_t i = unit_random_below(40); i > 0; i--)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
                                    pieces[unit_random_below(ARRAY_SIZE(pieces))]);
        text[len] = '\0';
        if (guest_read(text) != 0)
            unit_expect(strncmp(why, dir, strlen(dir)) == 0);
    }
}
END_TEST

START_TEST(daemon_file)
{
    text_write("d.conf",
               "[vhost-dmd]\nstate-dir=/run/other\non-failure=keep\nvirtio-disk=qemu-storage-daemon\n");
    ck_assert_int_eq(config_daemon_read(&daemon_config, path_of("d.conf"), why, sizeof(why)), 0);
    ck_assert_str_eq(daemon_config.state_dir, "/run/other");
    ck_assert_int_eq(daemon_config.defaults.on_failure, ON_FAILURE_KEEP);
    text_write("d.conf", "[vhost-dmd]\nstate-dir=here\n");
    ck_assert_int_eq(config_daemon_read(&daemon_config, path_of("d.conf"), why, sizeof(why)), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, ":2: state-dir=here: must be an absolute path"));
    text_write("d.conf", "[other]\n");
    ck_assert_int_eq(config_daemon_read(&daemon_config, path_of("d.conf"), why, sizeof(why)), -EINVAL);
}
END_TEST

/* ---- words and templates --------------------------------------------------------------------- */

START_TEST(words_are_split)
{
    struct words words = {0};

    ck_assert_int_eq(words_split(&words, "  a \"b  c\"d\t\"\" "), 0);
    ck_assert_uint_eq(words.n, 3);
    ck_assert_str_eq(words.word[1], "b  cd");
    ck_assert_str_eq(words.word[2], "");
    ck_assert_ptr_null(words.word[3]);
    ck_assert_int_eq(words_split(&words, "\"open"), -EINVAL);
    words_free(&words);
    ck_assert_ptr_null(words.word);
}
END_TEST

static void template_write(void)
{
    text_write("b.conf", "[true]\ntype=blk fs\ndefault.format=raw\n"
                         "command=/bin/true --file={,file} {format}\n  -s {socket}\n  \"two words\"\n"
                         "[only-net]\ntype=net\ncommand=/bin/true\n"
                         "[missing]\ncommand=/nonexistent/program\n"
                         "[braces]\ncommand=/bin/true {file\n");
}

static int command_make(struct words *argv, const char *request)
{
    const struct template_places places = {.files = {path_of("b.conf"), path_of("b2.conf")},
                                           .json = {path_of("json1"), path_of("json2")}};
    const struct template_values values = {
        .socket = "/s", .guest = "g", .device = "blk0", .domid = "7", .type = "blk"};

    why[0] = '\0';
    return template_command(argv, &places, request, &values, why, sizeof(why));
}

START_TEST(template_good)
{
    struct words argv = {0};

    template_write();
    ck_assert_int_eq(command_make(&argv, "true file=/a,b\\$(x);y args=\"-v -w\""), 0);
    ck_assert_uint_eq(argv.n, 8);
    ck_assert_str_eq(argv.word[1], "--file=/a,,b\\$(x);y");
    ck_assert_str_eq(argv.word[2], "raw");
    ck_assert_str_eq(argv.word[4], "/s");
    ck_assert_str_eq(argv.word[5], "two words");
    ck_assert_str_eq(argv.word[7], "-w");
    words_free(&argv);
    /* A later file replaces the section, not parts of it. */
    text_write("b2.conf", "[true]\ncommand=/bin/true x\n");
    ck_assert_int_eq(command_make(&argv, "true"), 0);
    ck_assert_uint_eq(argv.n, 2);
    words_free(&argv);
    /* Within a file that is a mistake. */
    text_write("b2.conf", "[true]\ncommand=/bin/true x\n[other]\n[true]\ncommand=/bin/true y\n");
    ck_assert_int_eq(command_make(&argv, "true"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "b2.conf:4: [true] is there twice"));
    words_free(&argv);
}
END_TEST

static const struct {
    const char *request, *says;
} bad_requests[] = {
    {"true", "file=VALUE is missing"},
    {"true file=/x colour=red", "unknown key 'colour'; known are: file format args"},
    {"true file=/x file=/y", "twice"},
    {"true file", "KEY=VALUE"},
    {"true file=\"/x", "quotes"},
    {"file=/x", "NAME KEY=VALUE"},
    {"only-net", "for type net"},
    {"missing", "cannot be executed"},
    {"braces file=/x", "braces"},
    {"other", "there are: true only-net missing braces"},
};

START_TEST(template_bad)
{
    struct words argv = {0};

    template_write();
    ck_assert_int_lt(command_make(&argv, bad_requests[_i].request), 0);
    ck_assert_msg(strstr(why, bad_requests[_i].says) != NULL, "'%s' does not say '%s'", why,
                  bad_requests[_i].says);
    words_free(&argv);
}
END_TEST

/* The rules of QEMU's vhost-user.json. */
START_TEST(json_order)
{
    struct json_back_end found;
    const char *const folders[] = {path_of("json1"), path_of("json2"), path_of("nothing"), NULL};

    text_write("json1/50-a.json", "{\"description\":\"x\",\"type\":\"block\",\"binary\":\"/bin/first\"}");
    text_write("json1/60-b.json", "{\"description\":\"x\",\"type\":\"block\",\"binary\":\"/bin/second\"}");
    text_write("json1/40-c.txt", "{\"type\":\"block\",\"binary\":\"/bin/third\"}");
    text_write("json1/10-net.json", "{\"type\":\"net\",\"binary\":\"/bin/first\"}");
    ck_assert_int_eq(json_back_end_find(&found, folders, "blk", "blk"), 0);
    ck_assert_str_eq(found.binary, "/bin/first");
    ck_assert_int_eq(json_back_end_find(&found, folders, "second", "blk"), 0);
    ck_assert_int_eq(json_back_end_find(&found, folders, "third", "blk"), -ENOENT);
    /* The more specific folder's file of the same name counts, and an empty one hides it. */
    text_write("json2/50-a.json", "{\"type\":\"block\",\"binary\":\"/bin/own\"}");
    ck_assert_int_eq(json_back_end_find(&found, folders, "block", "blk"), 0);
    ck_assert_str_eq(found.binary, "/bin/own");
    text_write("json2/50-a.json", "");
    ck_assert_int_eq(json_back_end_find(&found, folders, "blk", "blk"), 0);
    ck_assert_str_eq(found.binary, "/bin/second");
}
END_TEST

START_TEST(json_damaged)
{
    static const char *const bad[] = {"{",
                                      "[]",
                                      "null",
                                      "\"x\"",
                                      "{\"type\":3,\"binary\":[]}",
                                      "{\"type\":\"block\",\"binary\":\"relative\"}",
                                      "[[[[[[[[[[[[[[[[",
                                      "{\"type\":\"block\"}"};
    struct json_back_end found;
    const char *const folders[] = {path_of("json1"), NULL};

    log_level = LOG_LEVEL_ERROR;
    text_write("json1/50-a.json", bad[_i]);
    text_write("json1/60-b.json", "{\"type\":\"block\",\"binary\":\"/bin/true\"}");
    ck_assert_int_eq(json_back_end_find(&found, folders, "blk", "blk"), 0);
    ck_assert_str_eq(found.binary, "/bin/true");
}
END_TEST

START_TEST(json_command)
{
    struct words argv = {0};

    text_write("json1/50-a.json", "{\"type\":\"block\",\"binary\":\"/bin/true\"}");
    ck_assert_int_eq(command_make(&argv, "true blk-file=/x"), 0);
    ck_assert_uint_eq(argv.n, 3);
    ck_assert_str_eq(argv.word[1], "--blk-file=/x");
    ck_assert_str_eq(argv.word[2], "--socket-path=/s");
    words_free(&argv);
}
END_TEST

/* ---- xl's nodes and the plan ----------------------------------------------------------------- */

START_TEST(nodes_are_strict)
{
    static const char *const bad[] = {"",
                                      "virtio",
                                      "virtio,device",
                                      "virtio,device02",
                                      "virtio,device0",
                                      "virtio,device1A",
                                      "virtio,device1a ",
                                      "virtio,device-1",
                                      "virtio,device10000",
                                      "virtio,device0x2",
                                      "virtio,device1a,x",
                                      "xvirtio,device2"};
    uint16_t id;
    uint64_t n;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(xl_virtio_id(bad[i], &id) != 0, "'%s' was taken", bad[i]);
    ck_assert_int_eq(xl_virtio_id("virtio,device1a", &id), 0);
    ck_assert_uint_eq(id, 26);
    ck_assert_int_eq(xl_number("0x2000000", 16, UINT64_MAX, &n), 0);
    ck_assert_uint_eq(n, 0x2000000);
    ck_assert_int_eq(xl_number("ffffffffffffffffff", 16, UINT64_MAX, &n), -EINVAL);
    ck_assert_int_eq(xl_number(" 1", 10, 9, &n), -EINVAL);
    ck_assert_int_eq(xl_number("-1", 10, UINT64_MAX, &n), -EINVAL);
    ck_assert_int_eq(xl_number("10", 10, 9, &n), -EINVAL);
    ck_assert_int_eq(xl_state("4"), XL_STATE_CONNECTED);
    ck_assert_int_eq(xl_state("44"), XL_STATE_UNKNOWN);
    ck_assert_int_eq(xl_state(""), XL_STATE_UNKNOWN);
    ck_assert_int_eq(xl_state("x"), XL_STATE_UNKNOWN);
}
END_TEST

static int plan_it(const struct xl_device *xl, size_t nr_xl)
{
    const struct template_places places = {.files = {path_of("b.conf")}, .json = {path_of("json1")}};
    const struct plan_input input = {.config_dir = dir,
                                     .daemon = &daemon_config,
                                     .places = &places,
                                     .guest = "g",
                                     .domid = 7,
                                     .xl = xl,
                                     .nr_xl = nr_xl};

    plan_clear(plan);
    memset(plan, 0, sizeof(*plan));
    why[0] = '\0';
    return plan_make(plan, &input, why, sizeof(why));
}

START_TEST(plan_good)
{
    const struct xl_device xl[] = {
        {.devid = 0, .virtio_id = 2},
        {.devid = 1, .virtio_id = 2, .base = 0x2000000, .irq = 33},
        {.kind = TOOLSTACK_VIRTIO_DISK, .devid = 51712, .virtio_id = 2, .file = "/disk,1"},
    };

    template_write();
    ck_assert_int_eq(plan_it(NULL, 0), 0);
    ck_assert_uint_eq(plan->nr_devices, 0);
    text_write("g.conf", "[data]\ntype=blk\nwait=3\n[blk1]\nqueues=2\n[blk2]\nback-end=true\n");
    ck_assert_int_eq(plan_it(xl, 3), 0);
    ck_assert_uint_eq(plan->nr_devices, 4);
    ck_assert_str_eq(plan->devices[0].text, "type=blk,socket=/run/vhost-dm/g/blk0.sock,wait=30");
    ck_assert_str_eq(plan->devices[1].text,
                     "type=blk,socket=/run/vhost-dm/g/blk1.sock,transport=mmio,base=0x2000000,"
                     "irq=33,queues=2,wait=30");
    ck_assert_str_eq(plan->devices[2].name, "blk2");
    ck_assert_str_eq(plan->devices[2].back_end.word[1], "--file=/disk,,1");
    ck_assert_str_eq(plan->devices[3].name, "data");
    ck_assert_str_eq(plan->devices[3].text, "type=blk,socket=/run/vhost-dm/g/data.sock,wait=3");
}
END_TEST

START_TEST(plan_bad)
{
    const struct xl_device disk = {.kind = TOOLSTACK_VIRTIO_DISK, .virtio_id = 2}, odd = {.virtio_id = 0x3ff},
                           two = {.virtio_id = 2};

    ck_assert_int_lt(plan_it(&disk, 1), 0);
    ck_assert_ptr_nonnull(strstr(why, "no back-end"));
    ck_assert_int_lt(plan_it(&odd, 1), 0);
    ck_assert_msg(strstr(why, "3ff") != NULL, "%s", why);
    text_write("g.conf", "[blk0]\ntype=pmem\n");
    ck_assert_int_lt(plan_it(&two, 1), 0);
    ck_assert_ptr_nonnull(strstr(why, "g.conf:1: [blk0] type=pmem"));
    text_write("g.conf", "\n[thing0]\n");
    ck_assert_int_lt(plan_it(NULL, 0), 0);
    ck_assert_ptr_nonnull(strstr(why, "g.conf:2: [thing0]"));
    text_write("g.conf", "[blk0]\ntransport=mmio\n");
    ck_assert_int_lt(plan_it(NULL, 0), 0);
    ck_assert_ptr_nonnull(strstr(why, "needs base="));
    text_write("g.conf", "[blk0]\nsocket=/s\n[blk1]\nsocket=/s\n");
    ck_assert_int_lt(plan_it(NULL, 0), 0);
    ck_assert_msg(strstr(why, "g.conf:3: [blk1] its socket is that of another device") != NULL, "%s", why);
}
END_TEST

/* A guest of which no plan can be made is still treated as its file says. */
START_TEST(plan_settings)
{
    const struct plan_input input = {.config_dir = dir, .daemon = &daemon_config, .guest = "g", .domid = 7};

    text_write("g.conf", "[thing0]\n[guest]\non-failure=keep\n");
    ck_assert_int_lt(plan_it(NULL, 0), 0);
    ck_assert_int_eq(plan->settings.on_failure, ON_FAILURE_KEEP);
    memset(plan, 0, sizeof(*plan));
    plan_settings_read(plan, &input);
    ck_assert_int_eq(plan->settings.on_failure, ON_FAILURE_KEEP);
    ck_assert_uint_eq(plan->settings.start_timeout, daemon_config.defaults.start_timeout);
    ck_assert_uint_eq(plan->nr_devices, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost-dmd's configuration");
    TCase *tc = tcase_create("files");

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, guest_good);
    tcase_add_loop_test(tc, guest_bad, 0, ARRAY_SIZE(bad_guests));
    tcase_add_loop_test(tc, guest_bad_settings, 0, 11);
    tcase_add_test(tc, guest_bad_lines);
    tcase_add_test(tc, guest_bounds);
    tcase_add_test(tc, guest_writable_by_all);
    tcase_add_test(tc, guest_names);
    tcase_add_test(tc, guest_random);
    tcase_add_test(tc, daemon_file);
    tcase_add_test(tc, words_are_split);
    tcase_add_test(tc, template_good);
    tcase_add_loop_test(tc, template_bad, 0, ARRAY_SIZE(bad_requests));
    tcase_add_test(tc, json_order);
    tcase_add_loop_test(tc, json_damaged, 0, 8);
    tcase_add_test(tc, json_command);
    tcase_add_test(tc, nodes_are_strict);
    tcase_add_test(tc, plan_good);
    tcase_add_test(tc, plan_bad);
    tcase_add_test(tc, plan_settings);
    return unit_run(suite);
}
