/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service without a network: the document, tokens, requests and their answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/real.h"
#include "vmm/mmds/mmds_int.h"

static const char document[] =
	"{\"name\":{\"second\":\"Doe\",\"first\":\"John\"},\"age\":43,\"member\":false,\"empty\":{},"
	"\"phones\":[\"+40\",{\"home\":\"+44\"}],\"a/b\":{\"c~d\":\"escaped\"},\"text\":\"\"}";

static struct mmds *m;
static struct mmds_answer answer;
static uint64_t now_ns;

static json_t *json(const char *text)
{
	json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert(v, "not JSON: %s", text);
	return v;
}

static int put(const char *text, struct err *e)
{
	return mmds_put_text(m, text, strlen(text), e);
}

static int patch(const char *text, struct err *e)
{
	json_t *v = json(text);
	int r = mmds_patch(m, v, e);

	json_decref(v);
	return r;
}

static void expect_document(const char *text)
{
	char *got = mmds_get(m);

	cr_assert_str_eq(got, text);
	free(got);
}

static void set_version(enum mmds_version version)
{
	mmds_configure(m, &(struct mmds_config){ .version = version, .address = MMDS_ADDRESS });
}

static void make(void)
{
	cr_assert_eq(mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL), 0);
	answer.text = malloc(mmds_answer_size(m) + 1);
	now_ns = 1000;
	cr_assert_eq(put(document, NULL), 0);
}

static void done(void)
{
	free(answer.text);
	mmds_destroy(m);
}

/* The whole answer as text. */
static const char *ask(const char *request)
{
	cr_assert_eq(mmds_request_len(request, strlen(request)), strlen(request));
	mmds_answer_request(m, request, strlen(request), now_ns, &answer);
	cr_assert_leq(answer.len, mmds_answer_size(m));
	answer.text[answer.len] = '\0';
	return answer.text;
}

static void expect(const char *request, unsigned status, const char *type, const char *body)
{
	const char *got = ask(request), *end = strstr(got, "\r\n\r\n");
	char wanted[600];
	unsigned got_status;

	cr_assert(end);
	cr_assert_eq(sscanf(got, "HTTP/1.%*c %u \r\n", &got_status), 1);
	cr_assert_eq(got_status, status, "%s answered %s", request, got);
	cr_assert_str_eq(end + 4, body, "%s answered %s", request, got);
	snprintf(wanted, sizeof(wanted), "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type,
		 strlen(body));
	cr_assert(strstr(got, wanted), "%s answered %s", request, got);
}

static void expect_text(const char *path, unsigned status, const char *body)
{
	char request[200];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", path);
	expect(request, status, "text/plain", body);
}

static void expect_json(const char *path, const char *body)
{
	char request[200];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nAccept: application/json\r\n\r\n", path);
	expect(request, 200, "application/json", body);
}

static const char *new_token(const char *ttl_s)
{
	static char token[MMDS_TOKEN_LEN + 1];
	char request[200];
	const char *got;

	snprintf(request, sizeof(request),
		 "PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: %s\r\n\r\n", ttl_s);
	got = ask(request);
	cr_assert(strstr(got, "HTTP/1.1 200 \r\n"), "%s", got);
	snprintf(token, sizeof(token), "%s", strstr(got, "\r\n\r\n") + 4);
	cr_assert_eq(strlen(token), MMDS_TOKEN_LEN);
	return token;
}

static void expect_with_token(const char *token, unsigned status, const char *body)
{
	char request[300];

	snprintf(request, sizeof(request), "GET /name/first HTTP/1.1\r\nX-metadata-token: %s\r\n\r\n",
		 token);
	expect(request, status, "text/plain", body);
}

/* --- the document ------------------------------------------------------------------------------- */

Test(mmds, is_empty_at_first)
{
	cr_assert_eq(mmds_create(100, &m, NULL), 0);
	expect_document("{}");
	mmds_destroy(m);
}

Test(mmds, gives_numbers_as_they_came)
{
	static const char *const same[] = {
		"1.1", "0.1", "-2.5", "1.0", "100.25", "1e16", "1.5e-7", "0.00001234", "123456789.12345679",
		"1.7976931348623157e308", "5e-324", "-0.0", "[1,-9223372036854775808,0.3,null,true]",
	};

	cr_assert_eq(mmds_create(1000, &m, NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
		cr_assert_eq(put(same[i], NULL), 0, "%s", same[i]);
		expect_document(same[i]);
	}
	mmds_destroy(m);
}

Test(mmds, gives_numbers_that_read_back_and_are_short)
{
	srand48(1);
	for (unsigned i = 0; i < 20000; i++) {
		char shortest[REAL_TEXT_MAX], full[64];
		union {
			uint64_t bits;
			double f;
		} u = { (uint64_t)mrand48() << 32 ^ (uint64_t)mrand48() };

		if (!isfinite(u.f))
			continue;
		real_to_text(u.f, shortest);
		cr_assert_eq(strtod(shortest, NULL), u.f, "%s", shortest);
		snprintf(full, sizeof(full), "%.17g", u.f);
		cr_assert_leq(strlen(shortest), strlen(full) + 4, "%s %s", shortest, full);
	}
}

Test(mmds, escapes_strings_as_json_does)
{
	cr_assert_eq(mmds_create(1000, &m, NULL), 0);
	cr_assert_eq(put("{\"b\\n\":\"\\u0001\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\\u00e4\\u007f\",\"a\":[]}", NULL), 0);
	expect_document("{\"a\":[],\"b\\n\":\"\\u0001\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\u00e4\x7f\"}");
	mmds_destroy(m);
}

Test(mmds, refuses_patch_before_put)
{
	struct err e = { 0 };

	cr_assert_eq(mmds_create(100, &m, NULL), 0);
	cr_assert_eq(patch("{\"a\":1}", &e), -ENOENT);
	cr_assert_str_eq(e.msg, "The MMDS data store is not initialized.");
	mmds_destroy(m);
}

Test(mmds, keeps_old_document_if_new_one_is_too_long)
{
	struct err e = { 0 };

	cr_assert_eq(mmds_create(10, &m, NULL), 0);
	cr_assert_eq(put("{\"a\": 12345}", NULL), -E2BIG); /* 11 as compact JSON */
	expect_document("{}");
	cr_assert_eq(put("{\"a\": 1234}", NULL), 0);
	cr_assert_eq(patch("{\"b\": 1}", &e), -E2BIG);
	cr_assert_str_eq(e.msg, "The MMDS patch request doesn't fit.");
	expect_document("{\"a\":1234}");
	mmds_destroy(m);
}

/* The examples of RFC 7396, appendix A. */
Test(mmds, merges_as_the_rfc_says)
{
	static const char *const cases[][3] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
		{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
	};

	cr_assert_eq(mmds_create(1000, &m, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cr_assert_eq(put(cases[i][0], NULL), 0);
		cr_assert_eq(patch(cases[i][1], NULL), 0);
		expect_document(cases[i][2]);
	}
	mmds_destroy(m);
}

Test(mmds, says_where_text_is_no_json)
{
	struct err e = { 0 };

	cr_assert_eq(mmds_create(1000, &m, NULL), 0);
	cr_assert_eq(mmds_put_text(m, "{\n \"a\": tru }", 13, &e), -EINVAL);
	cr_assert(strstr(e.msg, " at line 2 column "), "%s", e.msg);
	cr_assert_eq(mmds_put_text(m, "{} {}", 5, &e), -EINVAL);
	cr_assert_eq(mmds_put_text(m, "", 0, &e), -EINVAL);
	cr_assert_eq(mmds_put_text(m, "{}garbage", 2, &e), 0); /* no byte further */
	cr_assert_eq(mmds_patch_text(m, "{\"a\":1}x", 7, &e), 0);
	expect_document("{\"a\":1}");
	mmds_destroy(m);
}

Test(mmds, knows_link_local_addresses)
{
	uint8_t a[4];

	cr_assert(mmds_address_parse("169.254.169.254", a));
	cr_assert(mmds_address_parse("169.254.1.0", a));
	cr_assert(mmds_address_parse("169.254.254.255", a));
	cr_assert_not(mmds_address_parse("169.254.0.1", a));
	cr_assert_not(mmds_address_parse("169.254.255.1", a));
	cr_assert_not(mmds_address_parse("10.0.0.1", a));
	cr_assert_not(mmds_address_parse("169.254.1", a));
	cr_assert_not(mmds_address_parse("", a));
}

/* --- reading ------------------------------------------------------------------------------------ */

Test(mmds, gives_values_as_text, .init = make, .fini = done)
{
	expect_text("/name/first", 200, "John");
	expect_text("/name", 200, "first\nsecond");
	expect_text("/name/", 200, "first\nsecond");
	expect_text("/", 200, "a/b/\nage\nempty/\nmember\nname/\nphones\ntext");
	expect_text("/empty", 200, "");
	expect_text("/text", 200, "");
	expect_text("/phones/0", 200, "+40");
	expect_text("/phones/1/home", 200, "+44");
	expect_text("/phones/1", 200, "home");
	expect_text("//name///first/", 200, "John");
	expect_text("http://169.254.169.254/name/first", 200, "John");
	expect_text("/a~1b/c~0d", 200, "escaped");
}

Test(mmds, gives_values_as_json, .init = make, .fini = done)
{
	expect_json("/name", "{\"first\":\"John\",\"second\":\"Doe\"}");
	expect_json("/age", "43");
	expect_json("/member", "false");
	expect_json("/name/first", "\"John\"");
	expect_json("/phones/", "[\"+40\",{\"home\":\"+44\"}]");
}

Test(mmds, gives_text_to_all_if_compatible, .init = make, .fini = done)
{
	mmds_configure(m, &(struct mmds_config){ .address = MMDS_ADDRESS, .imds_compat = true });
	expect("GET /name/first HTTP/1.1\r\nAccept: application/json\r\n\r\n", 200, "text/plain", "John");
}

Test(mmds, has_text_for_strings_and_objects_only, .init = make, .fini = done)
{
	static const char text[] = "Cannot retrieve value. The value has an unsupported type.";

	expect_text("/age", 501, text);
	expect_text("/member", 501, text);
	expect_text("/phones", 501, text);
}

Test(mmds, does_not_find, .init = make, .fini = done)
{
	expect_text("/other", 404, "Resource not found: /other.");
	expect_text("//other/x/", 404, "Resource not found: //other/x/.");
	expect_text("/name/first/x", 404, "Resource not found: /name/first/x.");
	expect_text("/phones/2", 404, "Resource not found: /phones/2.");
	expect_text("/phones/00", 404, "Resource not found: /phones/00.");
	expect_text("/phones/-1", 404, "Resource not found: /phones/-1.");
	expect_text("/phones/18446744073709551616", 404,
		    "Resource not found: /phones/18446744073709551616.");
}

Test(mmds, accepts_headers_of_any_case_and_kind, .init = make, .fini = done)
{
	expect("GET /age HTTP/1.1\r\nhost: x\r\nACCEPT:application/json \r\n\r\n", 200,
	       "application/json", "43");
	expect("GET /name/first HTTP/1.1\r\nAccept: */*\r\n\r\n", 200, "text/plain", "John");
	expect("GET /name/first HTTP/1.1\r\nAccept:\r\n\r\n", 200, "text/plain", "John");
}

Test(mmds, refuses_what_is_no_request, .init = make, .fini = done)
{
	static const char type[] = "application/json";

	expect("\r\n\r\n", 400, type, "Invalid request.");
	expect("GET\r\n\r\n", 400, type, "Invalid request.");
	expect("GET / HTTP/1.1\n\n", 400, type, "Invalid request.");
	expect("GET  HTTP/1.1\r\n\r\n", 400, type, "Empty URI not allowed.");
	expect("POST / HTTP/1.1\r\n\r\n", 501, type, "Unsupported HTTP method.");
	expect("get / HTTP/1.1\r\n\r\n", 501, type, "Unsupported HTTP method.");
	expect("GET / HTTP/2\r\n\r\n", 501, type, "Unsupported HTTP version.");
	expect("GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400, type,
	       "Header is incorrectly formatted. Key: nonsense");
	expect("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, type,
	       "Invalid value. Key:Content-Length; Value: -1");
	expect("PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400, type, "Invalid request.");
	expect("GET http:// HTTP/1.0\r\n\r\n", 400, "text/plain", "Invalid URI.");
}

Test(mmds, says_which_methods_it_has, .init = make, .fini = done)
{
	expect("PATCH / HTTP/1.1\r\n\r\n", 405, "text/plain", "Not allowed HTTP method.");
	cr_assert(strstr(answer.text, "\r\nAllow: GET, PUT\r\n"));
	expect("DELETE /name HTTP/1.1\r\n\r\n", 405, "text/plain", "Not allowed HTTP method.");
}

Test(mmds, closes_if_asked, .init = make, .fini = done)
{
	ask("GET / HTTP/1.1\r\n\r\n");
	cr_assert_not(answer.close);
	cr_assert(strstr(answer.text, "\r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"));
	ask("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n");
	cr_assert(answer.close);
	cr_assert(strstr(answer.text, "\r\nConnection: close\r\n"));
	ask("GET / HTTP/1.0\r\n\r\n");
	cr_assert(answer.close);
	ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	cr_assert_not(answer.close);
}

Test(mmds, answers_the_longest_request, .init = make, .fini = done)
{
	char request[MMDS_REQUEST_MAX + 1];
	int n = snprintf(request, sizeof(request), "GET /%0*d HTTP/1.1\r\n\r\n",
			 MMDS_REQUEST_MAX - 18, 0);

	cr_assert_eq(n, MMDS_REQUEST_MAX);
	cr_assert(strstr(ask(request), "HTTP/1.1 404 "));
}

Test(mmds, gives_the_longest_document_whole)
{
	char *text = malloc(MMDS_DEFAULT_LIMIT + 1);
	const char *got;

	cr_assert_eq(mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL), 0);
	answer.text = malloc(mmds_answer_size(m) + 1);
	snprintf(text, MMDS_DEFAULT_LIMIT + 1, "{\"a\":\"%0*d\"}", MMDS_DEFAULT_LIMIT - 8, 0);
	cr_assert_eq(put(text, NULL), 0);
	got = ask("GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n");
	cr_assert_str_eq(strstr(got, "\r\n\r\n") + 4, text);
	free(text);
	done();
}

/* --- tokens -------------------------------------------------------------------------------------- */

Test(mmds, gives_tokens_and_repeats_the_header, .init = make, .fini = done)
{
	new_token("21600");
	cr_assert(strstr(answer.text, "\r\nX-metadata-token-ttl-seconds: 21600\r\n"));
	cr_assert(strstr(answer.text, "\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n"));
	ask("PUT //latest/api/token HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n");
	cr_assert(strstr(answer.text, "\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n"));
}

Test(mmds, refuses_bad_token_requests, .init = make, .fini = done)
{
	static const char lifetime[] =
		"Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
		"`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime.";

	expect("PUT /latest/api/token HTTP/1.1\r\n\r\n", 400, "text/plain", lifetime);
	expect("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 0\r\n\r\n", 400,
	       "text/plain", "Invalid time to live value provided for token: 0. Please provide a value "
			     "between 1 and 21600.");
	expect("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 21601\r\n\r\n", 400,
	       "text/plain", "Invalid time to live value provided for token: 21601. Please provide a "
			     "value between 1 and 21600.");
	expect("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 1x\r\n\r\n", 400,
	       "text/plain",
	       "Invalid header. Reason: Invalid value. Key:X-metadata-token-ttl-seconds; Value:1x");
	expect("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 1\r\n"
	       "x-forwarded-for: a\r\n\r\n", 400, "text/plain",
	       "Invalid header. Reason: Unsupported header name. Key: x-forwarded-for");
	expect("PUT /other HTTP/1.1\r\n\r\n", 404, "text/plain", "Resource not found: /other.");
}

Test(mmds, v2_needs_a_token, .init = make, .fini = done)
{
	struct mmds_stats s;

	set_version(MMDS_V2);
	expect_text("/name/first", 401, "No MMDS token provided. Use `X-metadata-token` or "
		    "`X-aws-ec2-metadata-token` header to specify the session token.");
	expect_with_token("wrong", 401, "MMDS token not valid.");
	expect_with_token(new_token("60"), 200, "John");
	mmds_stats(m, &s);
	cr_assert_eq(s.rx_no_token, 1);
	cr_assert_eq(s.rx_invalid_token, 1);
}

Test(mmds, v1_counts_tokens_and_needs_none, .init = make, .fini = done)
{
	struct mmds_stats s;

	expect_text("/name/first", 200, "John");
	expect_with_token("wrong", 200, "John");
	expect_with_token(new_token("60"), 200, "John");
	mmds_stats(m, &s);
	cr_assert_eq(s.rx_no_token, 1);
	cr_assert_eq(s.rx_invalid_token, 1);
}

Test(mmds, token_expires, .init = make, .fini = done)
{
	char token[MMDS_TOKEN_LEN + 1];

	set_version(MMDS_V2);
	strcpy(token, new_token("2"));
	now_ns += 1999999999;
	expect_with_token(token, 200, "John");
	now_ns += 1;
	expect_with_token(token, 401, "MMDS token not valid.");
}

Test(mmds, tokens_differ_by_any_character, .init = make, .fini = done)
{
	char token[MMDS_TOKEN_LEN + 1];

	set_version(MMDS_V2);
	strcpy(token, new_token("60"));
	for (unsigned i = 0; i < MMDS_TOKEN_LEN; i++) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		expect_with_token(token, 401, "MMDS token not valid.");
		token[i] = was;
	}
	expect_with_token(token, 200, "John");
}

Test(mmds, full_table_forgets_what_expires_first, .init = make, .fini = done)
{
	char first[MMDS_TOKEN_LEN + 1], last[MMDS_TOKEN_LEN + 1];

	set_version(MMDS_V2);
	strcpy(first, new_token("10"));
	for (unsigned i = 0; i < MMDS_MAX_TOKENS; i++)
		strcpy(last, new_token("60"));
	expect_with_token(first, 401, "MMDS token not valid.");
	expect_with_token(last, 200, "John");
}

Test(mmds, another_machine_takes_no_token_of_this_one, .init = make, .fini = done)
{
	char token[MMDS_TOKEN_LEN + 1];

	strcpy(token, new_token("60"));
	mmds_destroy(m);
	cr_assert_eq(mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL), 0);
	cr_assert_eq(put(document, NULL), 0);
	set_version(MMDS_V2);
	expect_with_token(token, 401, "MMDS token not valid.");
}
