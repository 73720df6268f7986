/*
 * options.c
 *		The command line, the configuration file, and what they default to.
 *
 * One table row per setting: its name (the same in the file and, after two
 * dashes, on the command line), its place, range and default, and what
 * --help says.  The command line wins over the environment
 * (AUTH_SESSION_BRIDGE_NAME), and that over the file.
 *
 * A command line can be read by everybody, so a text may be @FILE, whose first
 * line it then is; that file and the configuration file have to be private.
 */
#include "basics.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

typedef enum SettingType
{
	SETTING_TEXT,
	SETTING_NUMBER,
	SETTING_WORD, /* one of words, as its number */
	SETTING_FLAG  /* command line: no argument; file: yes or no */
} SettingType;

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t place;
	int least;
	int most;
	const char *preset;
	const char *words;    /* separated by spaces */
	const char *argument; /* for --help */
	const char *help;
} Setting;

/* As a text's least: an empty one is not the same as none. */
#define MAY_BE_EMPTY 1

#define AT(field) offsetof(BrOptions, field)
#define TEXT(name, field, preset, argument, help)                         \
	{                                                                     \
		name, SETTING_TEXT, AT(field), 0, 0, preset, NULL, argument, help \
	}
#define NUMBER(name, field, least, most, preset, argument, help)              \
	{                                                                         \
		name, SETTING_NUMBER, AT(field), least, most, preset, NULL, argument, \
		    help                                                              \
	}
#define FLAG(name, field, help)                                     \
	{                                                               \
		name, SETTING_FLAG, AT(field), 0, 0, NULL, NULL, NULL, help \
	}

static const Setting settings[] = {
    TEXT("config", config, NULL, "FILE", "read settings from FILE too"),
    TEXT("database", database, NULL, "CONNINFO",
         "the database whose outbox is relayed (libpq)"),
    TEXT("consume", consume, NULL, "URL",
         "take messages from this broker's queue instead"),
    TEXT("to", to, NULL, "URL", "where all notifications go"),
    TEXT("email", email, NULL, "URL", "where those for email go"),
    TEXT("sms", sms, NULL, "URL", "where those for SMS go"),
    TEXT("events", events, NULL, "URL",
         "where events for applications go (a broker)"),
    TEXT("from", from, NULL, "ADDRESS",
         "sender of mails: an address, or \"Name <address>\""),
    {"envelope-from", SETTING_TEXT, AT(envelope_from), MAY_BE_EMPTY, 0, NULL,
     NULL, "ADDRESS", "where bounces go; empty: nowhere (default: from)"},
    TEXT("ehlo", ehlo, NULL, "NAME",
         "what a mail server is told we are (default: from's domain)"),
    TEXT("templates", templates, NULL, "DIR",
         "templates that replace built-in ones"),
    TEXT("locale", locale, "en", "LOCALE",
         "language where the payload names none"),
    TEXT("site-name", site_name, NULL, "NAME",
         "what mails call the site (default: its host)"),
    TEXT("link-path", link_path, "/auth/{{kind}}?token={{link_token}}", "PATH",
         "what follows the site's URL in a link"),
    TEXT("webhook-secret-file", webhook_secret_file, NULL, "FILE",
         "whsec_ keys, one a line, for https URLs"),
    TEXT("ca-file", ca_file, NULL, "FILE",
         "certificates to trust instead of the system's"),
    FLAG("insecure-tls", insecure_tls,
         "do not verify certificates (for trying out only)"),
    NUMBER("batch", batch, 1, 10000, "2000", "N", "notifications per claim"),
    NUMBER("lease", lease, 0, 3600, "0", "SECONDS",
           "how long a claim keeps others off; 0: as long as needed"),
    NUMBER("poll", poll, 1, 3600, "5", "SECONDS",
           "look at the outbox this often, woken or not"),
    NUMBER("timeout", timeout, 1, 300, "20", "SECONDS",
           "what a peer may take for one answer"),
    NUMBER("mail-timeout", mail_timeout, 1, 300, "300", "SECONDS",
           "what a mail server may, before it has the mail"),
    NUMBER("dot-timeout", dot_timeout, 1, 600, "600", "SECONDS",
           "what a mail server may, once it has the mail"),
    NUMBER("connections", connections, 1, 64, "4", "N",
           "at once, to a mail server or webhook"),
    NUMBER("tries", tries, 1, 1000, "50", "N",
           "with --consume: tries before the dead-letter exchange"),
    TEXT("retry", retry, "5 60 300 1800 3600", "SECONDS...",
         "with --consume: pauses between tries"),
    NUMBER("drain", drain, 0, 600, "30", "SECONDS",
           "what a stop may take to finish what is claimed"),
    TEXT("metrics", metrics, NULL, "FILE",
         "counters, for node_exporter's textfile collector"),
    TEXT("render", render, NULL, "KIND",
         "show what a mail of that kind says, and exit"),
    {"log-format", SETTING_WORD, AT(log_format), 0, 0, "kv", "kv json", "WORD",
     "log lines as key=value (kv) or json"},
    {"log-level", SETTING_WORD, AT(log_level), 0, 0, "info",
     "debug info warning error", "WORD", "debug, info, warning or error"},
    FLAG("check", check, "try both ends, say what is wrong, and exit"),
    FLAG("once", once, "exit as soon as nothing is left to deliver")};

#define NSETTINGS ((int) (sizeof(settings) / sizeof(settings[0])))

static bool
assign_number(const Setting *s, int *field, const char *value,
              const char *where, BrFault *fault)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end || number < s->least ||
	    number > s->most)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s%s: \"%.40s\" is not a number from %d to %d",
		                    where, s->name, value, s->least, s->most);
	*field = (int) number;
	return true;
}

static bool
assign_word(const Setting *s, int *field, const char *value, const char *where,
            BrFault *fault)
{
	const char *p = s->words;
	int number = 0;

	while (*p)
	{
		size_t n = strcspn(p, " ");

		if (strlen(value) == n && strncmp(p, value, n) == 0)
		{
			*field = number;
			return true;
		}
		number++;
		p += n;
		p += *p == ' ';
	}
	return br_fault_set(fault, BR_KIND_USAGE, "%s%s: \"%.40s\" is none of: %s",
	                    where, s->name, value, s->words);
}

/* A text, or the first line of the file that it names. */
static bool
assign_text(const Setting *s, char **field, const char *value, BrFault *fault)
{
	char *line = NULL;
	size_t size = 0;
	FILE *in;

	if (value[0] != '@')
		line = br_copy(value);
	else
	{
		in = br_open_private(value + 1, s->name, fault);
		if (in == NULL)
			return false;
		if (getline(&line, &size, in) >= 0)
			line[strcspn(line, "\r\n")] = '\0';
		fclose(in);
	}
	br_free_secret(*field);
	*field = NULL;
	if (line != NULL && (*line || s->least == MAY_BE_EMPTY))
		*field = br_copy(line);
	br_free_secret(line);
	return true;
}

/* Set one setting; where is "--" or "FILE:LINE: ", for the error text. */
static bool
assign(BrOptions *options, const Setting *s, const char *value,
       const char *where, BrFault *fault)
{
	char *field = (char *) options + s->place;

	switch (s->type)
	{
		case SETTING_TEXT:
			return assign_text(s, (char **) field, value, fault);
		case SETTING_NUMBER:
			return assign_number(s, (int *) field, value, where, fault);
		case SETTING_WORD:
			return assign_word(s, (int *) field, value, where, fault);
		case SETTING_FLAG:
			break;
	}
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s%s: \"%.40s\" is neither yes nor no", where,
		                    s->name, value);
	*(bool *) field = value[0] == 'y';
	return true;
}

static char *
trim(char *text)
{
	size_t n;

	while (isspace((unsigned char) *text))
		text++;
	for (n = strlen(text); n > 0 && isspace((unsigned char) text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

/* Lines of name = value; blank lines and lines that start with # are not. */
static bool
read_file(BrOptions *options, const char *path, BrFault *fault)
{
	FILE *in = br_open_private(path, "config", fault);
	char *line = NULL;
	size_t size = 0;
	int number = 0;
	bool good = true;

	if (in == NULL)
		return false;
	while (good && getline(&line, &size, in) >= 0)
	{
		char *name = trim(line);
		char *equals = strchr(name, '=');
		char *where;
		int i;

		number++;
		if (*name == '\0' || *name == '#')
			continue;
		where = br_format("%s:%d: ", path, number);
		if (equals == NULL)
			good = br_fault_set(fault, BR_KIND_USAGE,
			                    "%sexpected a line name = value", where);
		else
		{
			*equals = '\0';
			name = trim(name);
			for (i = 1; i < NSETTINGS; i++)
				if (strcmp(settings[i].name, name) == 0)
					break;
			if (i == NSETTINGS)
				good = br_fault_set(fault, BR_KIND_USAGE,
				                    "%sunknown setting \"%.40s\"", where, name);
			else
				good = assign(options, &settings[i], trim(equals + 1), where,
				              fault);
		}
		free(where);
	}
	if (line != NULL)
		OPENSSL_cleanse(line, size);
	free(line);
	fclose(in);
	return good;
}

/* AUTH_SESSION_BRIDGE_WEBHOOK_SECRET_FILE and the like. */
static bool
read_environment(BrOptions *options, BrFault *fault)
{
	int i;

	for (i = 0; i < NSETTINGS; i++)
	{
		char *name = br_format("AUTH_SESSION_BRIDGE_%s", settings[i].name);
		const char *value;
		char *p;
		bool good;

		for (p = name; *p; p++)
			*p = *p == '-' ? '_' : (char) toupper((unsigned char) *p);
		value = getenv(name);
		free(name);
		good = value == NULL ||
		       assign(options, &settings[i], value, "environment: ", fault);
		if (!good)
			return false;
	}
	return true;
}

void
br_options_help(void)
{
	int i;

	fputs(
	    "auth-session-bridge takes auth_session's notifications out of the "
	    "database\nand hands them to a broker, a mail server or a webhook.\n\n"
	    "  auth-session-bridge --database CONNINFO --to URL\n"
	    "  auth-session-bridge --database CONNINFO [--email URL] [--sms URL]\n"
	    "  auth-session-bridge --consume URL --to URL\n\n"
	    "URL: amqp[s]://USER:PASSWORD@HOST/VHOST, smtp[s]://HOST, "
	    "https://HOST/PATH,\nstdout: or file:PATH\n\n",
	    stdout);
	for (i = 0; i < NSETTINGS; i++)
	{
		const Setting *s = &settings[i];
		char *left = br_format("--%s%s%s", s->name, s->argument ? " " : "",
		                       s->argument ? s->argument : "");

		printf("  %-28s %s%s%s%s\n", left, s->help, s->preset ? " (" : "",
		       s->preset ? s->preset : "", s->preset ? ")" : "");
		free(left);
	}
	printf("  %-28s %s\n  %-28s %s\n  %-28s %s\n", "--dump-templates DIR",
	       "write the built-in templates under DIR", "--help", "this",
	       "--version", "the version");
}

static bool
is_mail(const char *url)
{
	return url != NULL && strncmp(url, "smtp", 4) == 0;
}

/* A claim outlasts the slowest delivery, or its row is mailed twice. */
static bool
validate_lease(BrOptions *options, BrFault *fault)
{
	bool mail = is_mail(options->email ? options->email : options->to);
	int least = mail ? options->dot_timeout + 2 : options->timeout * 2;
	int preset = mail ? options->dot_timeout + options->mail_timeout : 60;

	if (options->lease == 0)
		options->lease = preset > least ? preset : least;
	if (options->lease < least)
		return br_fault_set(
		    fault, BR_KIND_USAGE, "lease: must be %d s or more: %s", least,
		    mail ? "dot-timeout, and two seconds" : "twice the timeout");
	return true;
}

/* What has to be there, and what excludes what. */
static bool
validate(BrOptions *options, BrFault *fault)
{
	if (options->locale == NULL)
		return br_fault_set(fault, BR_KIND_USAGE, "locale: must not be empty");
	if (options->link_path == NULL || options->link_path[0] != '/')
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "link-path: must start with a slash");
	if (options->render != NULL)
		return true;
	if ((options->database == NULL) == (options->consume == NULL))
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "give either --database or --consume");
	if (options->consume != NULL && options->events != NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "events: come from a database, not from a queue");
	if (options->to == NULL && options->email == NULL && options->sms == NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "no destination: give --to, --email or --sms");
	if (!validate_lease(options, fault))
		return false;
	return true;
}

/* The command line, twice: pass 0 finds --config, pass 1 sets the rest. */
static bool
read_line(BrOptions *options, int argc, char **argv, int pass, BrAsked *asked,
          BrFault *fault)
{
	static const char *const requests[] = {"help", "version", "dump-templates"};
	struct option longs[NSETTINGS + 4];
	int which;
	int i;

	memset(longs, 0, sizeof(longs));
	for (i = 0; i < NSETTINGS; i++)
	{
		longs[i].name = settings[i].name;
		longs[i].has_arg =
		    settings[i].type == SETTING_FLAG ? no_argument : required_argument;
		longs[i].val = i;
	}
	for (; i < NSETTINGS + 3; i++)
	{
		longs[i].name = requests[i - NSETTINGS];
		longs[i].val = i;
	}
	longs[NSETTINGS + 2].has_arg = required_argument;
	optind = 0;
	opterr = 0;
	while ((which = getopt_long(argc, argv, ":", longs, NULL)) != -1)
	{
		if (which == ':')
			return br_fault_set(fault, BR_KIND_USAGE, "%s: needs a value",
			                    argv[optind - 1]);
		if (which == '?')
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "unknown or ambiguous option \"%.40s\" "
			                    "(--help lists them)",
			                    argv[optind - 1]);
		if (which >= NSETTINGS)
		{
			asked->request = (BrRequest) (which - NSETTINGS + BR_REQUEST_HELP);
			asked->argument = optarg;
			return true;
		}
		if ((which == 0) == (pass == 0) &&
		    !assign(options, &settings[which], optarg ? optarg : "yes", "--",
		            fault))
			return false;
	}
	if (optind < argc)
		return br_fault_set(fault, BR_KIND_USAGE, "stray argument \"%.40s\"",
		                    argv[optind]);
	return true;
}

BrOptions *
br_options_load(int argc, char **argv, BrAsked *asked, BrFault *fault)
{
	BrOptions *options = br_alloc(sizeof(*options));
	int i;

	fault->kind = BR_KIND_NONE;
	asked->request = BR_REQUEST_WORK;
	for (i = 0; i < NSETTINGS; i++)
		if (settings[i].preset != NULL)
			(void) assign(options, &settings[i], settings[i].preset, "", fault);
	/* First what names the file, which the others then win over. */
	if (read_environment(options, fault) &&
	    read_line(options, argc, argv, 0, asked, fault) &&
	    asked->request == BR_REQUEST_WORK &&
	    (options->config == NULL ||
	     (read_file(options, options->config, fault) &&
	      read_environment(options, fault))) &&
	    read_line(options, argc, argv, 1, asked, fault) &&
	    validate(options, fault))
		return options;
	br_options_free(options);
	return NULL;
}

void
br_options_free(BrOptions *options)
{
	int i;

	if (options == NULL)
		return;
	for (i = 0; i < NSETTINGS; i++)
		if (settings[i].type == SETTING_TEXT)
			br_free_secret(*(char **) ((char *) options + settings[i].place));
	free(options);
}
