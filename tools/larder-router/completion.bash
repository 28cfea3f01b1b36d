# SPDX-License-Identifier: Apache-2.0
#
# Completion for larder-router(1) in bash: options as the program itself lists
# them, and files.

_larder_router() {
	local current=${COMP_WORDS[COMP_CWORD]}
	local before=${COMP_WORDS[COMP_CWORD - 1]} words

	case $before in
	-c | --catalog | -C | --config | --warm | --admin-token-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	-s | --segment)
		[[ $current ]] || current=/dev/shm/
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	-l | --listen)
		mapfile -t COMPREPLY < <(
			compgen -W 'unix: 127.0.0.1:8080' -- "$current"
		)
		return
		;;
	esac
	words=$("$1" --help 2>/dev/null |
		sed -n 's/.*\(--[a-z-]*\)[=, ].*/\1/p; s/.*\(--[a-z-]*\)$/\1/p')
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _larder_router larder-router
