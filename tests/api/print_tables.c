/* SPDX-License-Identifier: Apache-2.0 */
/* The API's tables as JSON, for api_doc_test.py, which holds docs/api.md against them. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/objects.h"

enum { MAX_SCHEMAS = 64 };

static const struct schema *schemas[MAX_SCHEMAS];
static unsigned n_schemas;

static void remember(const struct schema *s)
{
	const struct schema_field *f;
	unsigned i;

	for (i = 0; i < n_schemas; i++)
		if (schemas[i] == s)
			return;
	if (!s || n_schemas == MAX_SCHEMAS)
		return;
	schemas[n_schemas++] = s;
	for (f = s->fields; f->name; f++)
		remember(f->object);
}

static void print_method(const struct api_resource *r, enum http_method m, bool *first)
{
	static const char *const phases[] = { "any", "before", "after" };
	const struct api_method *method = &r->methods[m];

	if (!method->fn)
		return;
	remember(method->schema);
	printf("%s\n  [\"%s\", \"/%s%s%s%s\", \"%s\", \"%s\"]", *first ? "" : ",", http_method_name(m),
	       r->path, r->second ? "/" : "", r->second ? r->second : "", r->id ? "/{id}" : "",
	       phases[method->phase], method->schema ? method->schema->name : "");
	*first = false;
}

static void print_type(const struct schema_field *f)
{
	static const char *const types[] = {
		[FIELD_STRING] = "string", [FIELD_PATH] = "path", [FIELD_BOOL] = "bool", [FIELD_U8] = "u8",
		[FIELD_U16] = "u16", [FIELD_U32] = "u32", [FIELD_U64] = "u64", [FIELD_USIZE] = "usize",
		[FIELD_STRINGS] = "[string]", [FIELD_MAP] = "{string: string}", [FIELD_MAC] = "MAC",
		[FIELD_NUMBER] = "string", [FIELD_BITS32] = "string", [FIELD_BITS64] = "string",
		[FIELD_CAPS] = "[string]",
	};
	bool choice = f->type == FIELD_CHOICE || f->type == FIELD_REGISTER;
	size_t i;

	if (f->type == FIELD_OBJECT)
		printf("%s", f->object->name);
	else if (f->type == FIELD_LIST)
		printf("[%s]", f->object->name);
	else if (!choice)
		printf("%s", types[f->type]);
	for (i = 0; choice && f->names[i]; i++)
		printf("%s%s", i ? " or " : "", f->names[i]);
}

static void print_need(const struct schema_field *f)
{
	if (f->need == FIELD_REQUIRED)
		printf("required");
	else if (f->need == FIELD_OPTIONAL)
		printf("optional");
	else if (f->type == FIELD_BOOL)
		printf("%s", f->fallback ? "true" : "false");
	else if (f->type == FIELD_CHOICE)
		printf("%s", f->names[f->fallback]);
	else if (f->type >= FIELD_U8 && f->type <= FIELD_USIZE)
		printf("%llu", (unsigned long long)f->fallback);
	else
		printf("empty");
}

static void print_schema(const struct schema *s)
{
	const struct schema_field *f;

	printf("\n  {\"name\": \"%s\", \"open\": %s, \"members\": [", s->name, s->open ? "true" : "false");
	for (f = s->fields; f->name; f++) {
		printf("%s\n    [\"%s\", \"", f == s->fields ? "" : ",", f->name);
		print_type(f);
		printf("\", \"");
		print_need(f);
		printf("\"]");
	}
	printf("]}");
}

int main(void)
{
	const struct api_resource *r;
	bool first = true;
	unsigned i;
	int m;

	printf("{\"requests\": [");
	for (r = api_resources(); r->path; r++)
		for (m = 0; m < HTTP_N_METHODS; m++)
			print_method(r, (enum http_method)m, &first);
	printf("],\n\"ours\": [");
	for (first = true, r = api_resources(); r->path; r++) {
		if (r->ours)
			printf("%s\"/%s\"", first ? "" : ", ", r->path);
		first &= !r->ours;
	}
	remember(&schema_balloon_hinting_start); /* res_balloon.c reads it */
	remember(&schema_config_file);
	printf("],\n\"objects\": [");
	for (i = 0; i < n_schemas; i++) {
		printf("%s", i ? "," : "");
		print_schema(schemas[i]);
	}
	printf("]}\n");
	return 0;
}
