# Turns templates/LOCALE/KIND.tmpl files into the C table that template.c
# reads: awk -f embed.awk FILE... >builtin.c

function flush_file() {
	if (started)
		print "\t},"
}

BEGIN {
	print "/* Made by embed.awk from templates: edit those. */"
	print "#include \"builtin.h\"\n"
	print "const BrBuiltin br_builtins[] = {"
}

FNR == 1 {
	flush_file()
	started = 1
	n = split(FILENAME, part, "/")
	kind = part[n]
	sub(/\.tmpl$/, "", kind)
	printf "\t{\"%s\", \"%s\",\n", part[n - 1], kind
}

{
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	printf "\t \"%s\\n\"\n", $0
}

END {
	flush_file()
	print "\t{NULL, NULL, NULL}};"
}
