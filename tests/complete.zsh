# zsh -f complete.zsh DIRECTORY KEYS: an interactive zsh with the completions of that directory, in a terminal of its own;
# types the keys and a TAB, and prints the command line then, without the suffix that zsh takes back by itself.
zmodload zsh/zpty || exit 77
place=$(mktemp -d) || exit 1
trap 'rm -rf $place' EXIT
printf '#!/bin/sh\n' >$place/lingerclose-test-command
chmod 755 $place/lingerclose-test-command

zpty shell "PATH=$place:$PATH TERM=dumb zsh -f -i"
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -D -u; LISTMAX=10000; unsetopt beep list_beep
show() { print -r -- \"<<<\$BUFFER>>>\"; zle kill-buffer }; zle -N show; bindkey '^X' show; bindkey '^I' complete-word
print -r -- rea''dy"
zpty -r shell line '*ready*' || exit 1
zpty -n -w shell "$2"$'\t\x18'
zpty -r shell line '*<<<*>>>*' || exit 1
line=${line##*<<<}
line=${line%%>>>*}
print -r -- ${line%[ =,]}
zpty -d shell
