/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8042 keyboard controller, an AT keyboard on it, no auxiliary (mouse) port, and port 0x92.
 *
 * What it is for: guests reset the machine through it, and probe the keyboard for seconds unless
 * something answers at once. Every controller and keyboard command is answered as the real parts
 * do, synchronously. Keys come from i8042_ctrl_alt_del() only.
 *
 * The loopback and test commands of the auxiliary port answer "clock line stuck", so that a driver
 * that looks for a mouse gives up without a time-out. The A20 gate is remembered but never closed.
 * Of the keyboard's repeat rate, LEDs and scan code sets, only the last read back.
 *
 * Refs: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
 * Device Controller"; Intel 8742 data sheet.
 */
#include "devices/legacy/i8042.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	STATUS_OBF = 0x01,
	STATUS_SYSTEM = 0x04, /* passed its self test */
	STATUS_COMMAND = 0x08,
	STATUS_UNLOCKED = 0x10,
	STATUS_AUX = 0x20,

	CTR_KBD_INT = 0x01,
	CTR_SYSTEM = 0x04,
	CTR_KBD_DISABLE = 0x10,
	CTR_AUX_DISABLE = 0x20,
	CTR_TRANSLATE = 0x40,

	OUT_NOT_RESET = 0x01,
	OUT_A20 = 0x02,
	P92_RESET = 0x01,
	P92_A20 = 0x02,
};

enum { /* keyboard replies */
	KBD_ACK = 0xfa,
	KBD_RESEND = 0xfe,
	KBD_BAT_OK = 0xaa,
	KBD_ECHO = 0xee,
	KBD_RELEASE = 0xf0,
};

enum { KBD_QUEUE_LEN = 16, N_RAM = 32 };

struct i8042 {
	struct device dev;
	struct i8042_wiring w;
	uint8_t ram[N_RAM]; /* [0] is the command byte, "CTR" */
	uint8_t command;    /* waits for its data byte; 0: none */
	bool last_was_command;
	uint64_t reads, writes, resets; /* of registers; asked for */
	uint8_t output;   /* output buffer */
	uint8_t out_port; /* output port */
	bool obf, out_is_kbd, out_is_aux;
	/* the keyboard */
	uint8_t kbd_command; /* waits for its data byte; 0: none */
	uint8_t kbd_set, kbd_last;
	bool kbd_scanning;
	uint8_t queue[KBD_QUEUE_LEN];
	uint8_t queue_head, n_queued;
};

static struct i8042 *to_kbc(struct device *d)
{
	return container_of(d, struct i8042, dev);
}

/* --- output buffer ---------------------------------------------------------------------------- */

static void update_irq(struct i8042 *k)
{
	irq_set(&k->w.irq, k->obf && k->out_is_kbd && (k->ram[0] & CTR_KBD_INT));
}

/* A reply of the controller itself replaces what was there. */
static void reply(struct i8042 *k, uint8_t val, bool kbd, bool aux)
{
	k->output = val;
	k->obf = true;
	k->out_is_kbd = kbd;
	k->out_is_aux = aux;
}

/* Lets the keyboard send its next byte if there is room. */
static void fetch(struct i8042 *k)
{
	if (k->obf || !k->n_queued || (k->ram[0] & CTR_KBD_DISABLE))
		return;
	reply(k, k->queue[k->queue_head], true, false);
	k->queue_head = (k->queue_head + 1) % KBD_QUEUE_LEN;
	k->n_queued--;
}

static void kbd_send(struct i8042 *k, uint8_t val)
{
	if (k->n_queued == KBD_QUEUE_LEN)
		return; /* the keyboard's buffer overruns */
	k->queue[(k->queue_head + k->n_queued++) % KBD_QUEUE_LEN] = val;
	k->kbd_last = val;
}

/* --- keyboard --------------------------------------------------------------------------------- */

static void kbd_defaults(struct i8042 *k)
{
	k->kbd_set = 2;
	k->kbd_scanning = true;
	k->kbd_command = 0;
}

static void kbd_argument(struct i8042 *k, uint8_t command, uint8_t val)
{
	kbd_send(k, KBD_ACK);
	if (command != 0xf0) /* LEDs, repeat rate, key types: nothing to show for */
		return;
	if (!val)
		kbd_send(k, k->kbd_set);
	else if (val <= 3)
		k->kbd_set = val;
}

static void kbd_receive(struct i8042 *k, uint8_t val)
{
	if (k->kbd_command && val < 0xed) {
		uint8_t command = k->kbd_command;

		k->kbd_command = 0;
		kbd_argument(k, command, val);
		return;
	}
	k->kbd_command = 0;
	switch (val) {
	case 0xed: /* LEDs */
	case 0xf0: /* scan code set */
	case 0xf3: /* repeat rate */
	case 0xfb: /* types of single keys */
	case 0xfc:
	case 0xfd:
		k->kbd_command = val;
		kbd_send(k, KBD_ACK);
		break;
	case 0xee:
		kbd_send(k, KBD_ECHO);
		break;
	case 0xf2:
		kbd_send(k, KBD_ACK);
		kbd_send(k, 0xab);
		kbd_send(k, 0x83);
		break;
	case 0xf4:
		k->kbd_scanning = true;
		kbd_send(k, KBD_ACK);
		break;
	case 0xf5:
		kbd_defaults(k);
		k->kbd_scanning = false;
		kbd_send(k, KBD_ACK);
		break;
	case 0xf6:
		kbd_defaults(k);
		kbd_send(k, KBD_ACK);
		break;
	case 0xf7: /* types of all keys */
	case 0xf8:
	case 0xf9:
	case 0xfa:
		kbd_send(k, KBD_ACK);
		break;
	case 0xfe:
		kbd_send(k, k->kbd_last);
		break;
	case 0xff:
		k->n_queued = 0;
		kbd_defaults(k);
		kbd_send(k, KBD_ACK);
		kbd_send(k, KBD_BAT_OK);
		break;
	default:
		kbd_send(k, KBD_RESEND);
	}
}

struct key { /* scan codes of set 2 and their translation to set 1 */
	uint8_t prefix, set2, set1;
};

static void press(struct i8042 *k, const struct key *key, bool down)
{
	bool set1 = k->ram[0] & CTR_TRANSLATE;

	if (key->prefix)
		kbd_send(k, key->prefix);
	if (!set1 && !down)
		kbd_send(k, KBD_RELEASE);
	kbd_send(k, set1 ? (uint8_t)(key->set1 | (down ? 0 : 0x80)) : key->set2);
}

void i8042_ctrl_alt_del(struct device *d)
{
	static const struct key keys[] = {{0, 0x14, 0x1d}, {0, 0x11, 0x38}, {0xe0, 0x71, 0x53}};
	struct i8042 *k = to_kbc(d);

	if (!k->kbd_scanning)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		press(k, &keys[i], true);
	for (unsigned i = ARRAY_LEN(keys); i--;)
		press(k, &keys[i], false);
	fetch(k);
	update_irq(k);
}

/* --- controller ------------------------------------------------------------------------------- */

static void request_reset(struct i8042 *k)
{
	k->resets++;
	if (k->w.reset)
		k->w.reset(k->w.ctx);
}

static void write_out_port(struct i8042 *k, uint8_t val)
{
	k->out_port = val;
	if (!(val & OUT_NOT_RESET))
		request_reset(k);
}

static void controller_command(struct i8042 *k, uint8_t val)
{
	k->command = 0;
	switch (val) {
	case 0x20 ... 0x3f:
		reply(k, k->ram[val & 0x1f], false, false);
		break;
	case 0x60 ... 0x7f:
	case 0xd1: /* write output port */
	case 0xd2: /* write keyboard output buffer */
	case 0xd3: /* write auxiliary output buffer */
	case 0xd4: /* write to auxiliary device */
		k->command = val;
		break;
	case 0xa7:
		k->ram[0] |= CTR_AUX_DISABLE;
		break;
	case 0xa8:
		k->ram[0] &= (uint8_t)~CTR_AUX_DISABLE;
		break;
	case 0xa9: /* auxiliary interface test */
		reply(k, 0x01, false, false);
		break;
	case 0xaa: /* self test */
		k->ram[0] |= CTR_SYSTEM;
		reply(k, 0x55, false, false);
		break;
	case 0xab: /* keyboard interface test: no error */
		reply(k, 0x00, false, false);
		break;
	case 0xad:
		k->ram[0] |= CTR_KBD_DISABLE;
		break;
	case 0xae:
		k->ram[0] &= (uint8_t)~CTR_KBD_DISABLE;
		break;
	case 0xc0: /* input port: keyboard not inhibited */
		reply(k, 0x80, false, false);
		break;
	case 0xd0:
		reply(k, (uint8_t)(k->out_port | (k->obf ? 0x10 : 0)), false, false);
		break;
	case 0xe0: /* test inputs: both clocks idle */
		reply(k, 0x00, false, false);
		break;
	case 0xf0 ... 0xff: /* pulse output port bits that are 0 */
		if (!(val & OUT_NOT_RESET))
			request_reset(k);
		break;
	}
}

static void controller_data(struct i8042 *k, uint8_t command, uint8_t val)
{
	switch (command) {
	case 0x60 ... 0x7f:
		k->ram[command & 0x1f] = val;
		break;
	case 0xd1:
		write_out_port(k, val);
		break;
	case 0xd2:
		reply(k, val, true, false);
		break;
	case 0xd3: /* not the byte written: there is no auxiliary port */
		reply(k, (uint8_t)~val, false, false);
		break;
	case 0xd4: /* nobody there: time-out with a resend */
		reply(k, KBD_RESEND, false, true);
		break;
	}
}

static void kbc_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8042 *k = to_kbc(d);
	uint8_t v = (uint8_t)val, command = k->command;

	(void)size;
	(void)off;
	k->writes++;
	k->last_was_command = false;
	k->command = 0;
	if (command) {
		controller_data(k, command, v);
	} else {
		k->ram[0] &= (uint8_t)~CTR_KBD_DISABLE; /* sending enables the interface */
		kbd_receive(k, v);
	}
	fetch(k);
	update_irq(k);
}

static uint64_t kbc_read(struct device *d, uint64_t off, unsigned size)
{
	struct i8042 *k = to_kbc(d);
	uint8_t v = k->output;

	(void)off;
	(void)size;
	k->reads++;
	k->obf = false;
	update_irq(k); /* falls between two bytes: the input is edge-triggered */
	fetch(k);
	update_irq(k);
	return v;
}

static void command_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8042 *k = to_kbc(d);

	(void)off;
	(void)size;
	k->writes++;
	k->last_was_command = true;
	controller_command(k, (uint8_t)val);
	fetch(k);
	update_irq(k);
}

static uint64_t status_read(struct device *d, uint64_t off, unsigned size)
{
	struct i8042 *k = to_kbc(d);

	(void)off;
	(void)size;
	k->reads++;
	return (uint8_t)((k->obf ? STATUS_OBF : 0) | (k->ram[0] & CTR_SYSTEM ? STATUS_SYSTEM : 0) |
			 (k->last_was_command ? STATUS_COMMAND : 0) | STATUS_UNLOCKED |
			 (k->obf && k->out_is_aux ? STATUS_AUX : 0));
}

static void p92_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct i8042 *k = to_kbc(d);

	(void)off;
	(void)size;
	k->out_port = (uint8_t)((k->out_port & ~OUT_A20) | (val & P92_A20 ? OUT_A20 : 0));
	if (val & P92_RESET)
		request_reset(k);
}

static uint64_t p92_read(struct device *d, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return to_kbc(d)->out_port & OUT_A20 ? P92_A20 : 0;
}

static const struct region_ops data_ops = {kbc_read, kbc_write, 1};
static const struct region_ops command_ops = {status_read, command_write, 1};
static const struct region_ops p92_ops = {p92_read, p92_write, 1};

/* --- life cycle ------------------------------------------------------------------------------- */

static void kbc_reset(struct device *d)
{
	struct i8042 *k = to_kbc(d);

	memset(k->ram, 0, sizeof(k->ram));
	/* as firmware leaves it: keyboard works and interrupts, translates, no mouse */
	k->ram[0] = CTR_KBD_INT | CTR_SYSTEM | CTR_AUX_DISABLE | CTR_TRANSLATE;
	k->command = 0;
	k->last_was_command = false;
	k->output = 0;
	k->obf = k->out_is_kbd = k->out_is_aux = false;
	k->out_port = OUT_NOT_RESET | OUT_A20;
	k->n_queued = k->queue_head = 0;
	k->kbd_last = 0;
	kbd_defaults(k);
	update_irq(k);
}

static void kbc_destroy(struct device *d)
{
	if (!d)
		return;
	device_fini(d);
	free(to_kbc(d));
}

static const struct device_counter kbc_counters[] = {
	{"reads", offsetof(struct i8042, reads)},
	{"writes", offsetof(struct i8042, writes)},
	{"resets", offsetof(struct i8042, resets)},
	{0},
};

static const struct device_ops kbc_ops = {
	.type = "i8042",
	.counters = kbc_counters,
	.reset = kbc_reset,
	.destroy = kbc_destroy,
};

int i8042_create(const struct i8042_config *cfg, const struct i8042_wiring *w,
		 struct device **out, struct err *e)
{
	struct i8042 *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	k->w = *w;
	device_init(&k->dev, &kbc_ops, cfg->id);
	kbc_reset(&k->dev);
	r = bus_add(w->bus, &(struct region){"i8042 data", 0x60, 1, &data_ops, &k->dev}, e);
	if (r == 0)
		r = bus_add(w->bus, &(struct region){"i8042", 0x64, 1, &command_ops, &k->dev}, e);
	if (r == 0)
		r = bus_add(w->bus, &(struct region){"port92", 0x92, 1, &p92_ops, &k->dev}, e);
	if (r < 0) {
		kbc_destroy(&k->dev);
		return r;
	}
	*out = &k->dev;
	return 0;
}
