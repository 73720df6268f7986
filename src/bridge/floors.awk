# Reads nm -A -P of the bridge's objects, and fails on a call that goes up one
# of its floors: awk -v floors='TOP NEXT,NEXT ...' -f floors.awk

BEGIN {
	n = split(floors, floor, " ")
	for (i = 1; i <= n; i++) {
		m = split(floor[i], file, ",")
		for (j = 1; j <= m; j++)
			depth[file[j]] = i
	}
}

{
	file_name = $1
	gsub(/^.*\/|\.o:$/, "", file_name)
	if ($3 == "U")
		used[file_name, $2] = 1
	else if ($3 ~ /[A-Z]/)
		home[$2] = file_name
}

END {
	for (use in used) {
		split(use, part, SUBSEP)
		if (!(part[2] in home))
			continue
		calls++
		if (depth[home[part[2]]] < depth[part[1]]) {
			print "floors: " part[1] ".c calls up: " part[2] " of " home[part[2]] ".c"
			bad = 1
		}
	}
	exit bad || !calls
}
