# SPDX-License-Identifier: Apache-2.0
#
# Completion for larder(1) in bash: verbs and options as the program itself
# lists them, segments as they lie in /dev/shm, and files. It cannot fall behind
# the program, as it asks it.

_larder_segments() {
	local file

	for file in /dev/shm/larder-v*-*; do
		[[ -e $file ]] || continue
		file=${file##*/larder-v}
		printf '%s\n' "${file#*-}"
	done
}

_larder() {
	local current=${COMP_WORDS[COMP_CWORD]}
	local verb=${COMP_WORDS[1]} words

	if ((COMP_CWORD == 1)); then
		words=$("$1" --help 2>/dev/null |
			sed -n 's/^  \([a-z]*\)  *[^ ].*/\1/p')
		mapfile -t COMPREPLY < <(
			compgen -W "$words --help --version" -- "$current"
		)
		return
	fi
	if [[ $current == -* ]]; then
		words=$("$1" "$verb" --help 2>/dev/null |
			sed -n 's/^  \(--[a-z-]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--policy)
		words='fin base clock cost'
		;;
	--sort)
		words='age hits size cost ttl key'
		;;
	--in)
		words='keys tags either'
		;;
	--group)
		mapfile -t COMPREPLY < <(compgen -g -- "$current")
		return
		;;
	*)
		mapfile -t COMPREPLY < <(
			compgen -W "$(_larder_segments)" -- "$current"
			compgen -f -- "$current"
		)
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _larder larder
