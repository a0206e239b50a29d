# shellcheck shell=bash
# The encoding of double precision on samples of the paper on ALP, beside what has been published.

alp()
{
	local samples=("$ALP_DIR"/*.csv)

	if [ ! -r "${samples[0]}" ]; then
		say "left out: samples of the paper on ALP, there are none in $ALP_DIR"
		return
	fi
	program doubles
	"$HERE/doubles" "${samples[@]}" >"$WORK/doubles"
	awk '
	function cell(value) { return value == "" ? "" : sprintf("%.2f", value) }
	BEGIN {
		print ""
		print "| bits a value | ours | ours, best effort | zstd -19 | ALP, same values | paper: ALP | zstd | Gorilla | Chimp128 | encoded, M/s | decoded, M/s | how |"
		print "|---|---|---|---|---|---|---|---|---|---|---|---|"
	}
	FNR == NR {
		if (FNR > 1) {
			title[$1] = $2; alp[$1] = $3; zstd[$1] = $4; gorilla[$1] = $5; chimp[$1] = $6
			# an exception takes 64 bits and 16 for its position; a vector of 1,024 has 88 besides
			if ($7 != "") same[$1] = $7 + $8 * 80 / 1024 + 88 / 1024
		}
		next
	}
	{
		n++; ours += $3; best += $4; raw += $5; encoding += 1 / $6; decoding += 1 / $7
		if ($3 > $5) larger = larger " " $1
		if ($1 in title) {
			m++; paper_ours += $3; paper_alp += alp[$1]; paper_zstd += zstd[$1]
			paper_gorilla += gorilla[$1]; paper_chimp += chimp[$1]
		}
		if ($1 in same) { k++; same_ours += $3; same_alp += same[$1] }
		printf "| %s | %.2f | %.2f | %.2f | %s | %s | %s | %s | %s | %.0f | %.0f | %s |\n", $1 in title ? title[$1] : $1, $3, $4, $5,
			cell(same[$1]), cell(alp[$1]), cell(zstd[$1]), cell(gorilla[$1]), cell(chimp[$1]), $6, $7, $8
	}
	END {
		printf "| average of all %d | %.2f | %.2f | %.2f | | | | | | %.0f | %.0f | |\n", n, ours / n, best / n, raw / n, n / encoding, n / decoding
		if (k) printf "| average of the %d with ALP on the same values | %.2f | | | %.2f | | | | | | | |\n", k, same_ours / k, same_alp / k
		if (m) printf "| average of the %d that are in the paper | %.2f | | | | %.2f | %.2f | %.2f | %.2f | | | |\n",
			m, paper_ours / m, paper_alp / m, paper_zstd / m, paper_gorilla / m, paper_chimp / m
		print ""
		print "No sample larger than zstd -19: " (larger == "" ? "met" : "**missed**," larger)
		if (m) printf "Average below that of ALP in the paper, %.2f: %s, %.2f\n", paper_alp / m, paper_ours < paper_alp ? "met" : "**missed**", paper_ours / m
	}' FS=, "$HERE/published.csv" FS='\t' "$WORK/doubles"
}
