# bash completion of lingerclose(1); needs nothing but bash, and uses bash-completion for the command where that is there.
# shellcheck shell=bash

# The values of an option: words, of which a list may have several with commas between, or what else there is to say.
_lingerclose_values() {
    case $1 in
    --mode) echo 'auto sync background' ;;
    --steps) echo ', linger shutdown drain' ;;
    --roles) echo ', accepted connected' ;;
    --families) echo ', tcp unix' ;;
    --when) echo 'always pending' ;;
    --abort) echo 'keep linger' ;;
    --shutdown | --nodelay | --cork) echo 'on off' ;;
    --drain-bytes) echo 'auto' ;;
    --log) echo 'off stderr syslog journal' ;;
    --stats) echo 'off /run/lingerclose' ;;
    --unit) systemctl list-unit-files --type=service --no-legend --plain 2>/dev/null | sed 's/ .*//' ;;
    esac
}

_lingerclose_value() {
    local option=$1 word=$2 words list=
    words=$(_lingerclose_values "$option")
    if [[ $words == ,* ]]; then
        words=${words#,}
        if [[ $word == *,* ]]; then list=${word%,*},; fi
    fi
    mapfile -t COMPREPLY < <(compgen -P "$list" -W "$words" -- "${word#"$list"}")
    if [[ $option == --log && $word == /* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

_lingerclose() {
    local flags='--off --nodelay --cork --check --status --report --print --help --version'
    local valued='--mode --steps --linger --drain --idle --drain-bytes --roles --when --abort --max --exit --shutdown
        --families --ports --programs --log --stats --unit'
    local word=${COMP_WORDS[COMP_CWORD]} check='' i
    COMPREPLY=()
    # Where the words stand: = is a word of its own here (COMP_WORDBREAKS).
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --)
            ((i++))
            break
            ;;
        --check) check=1 ;;
        --off | --status | --report | --print | --help | --version | -h) ;;
        --nodelay | --cork) # a value, or none
            if [[ ${COMP_WORDS[i + 1]} == = ]]; then
                ((i += 2))
                if ((i > COMP_CWORD)); then word=; fi
                if ((i >= COMP_CWORD)); then
                    _lingerclose_value "${COMP_WORDS[i - 2]}" "$word"
                    return
                fi
            fi
            ;;
        -*)
            local option=${COMP_WORDS[i]}
            if [[ ${COMP_WORDS[i + 1]} == = ]]; then
                ((i++))
                if ((i == COMP_CWORD)); then word=; fi
            fi
            ((i++))
            if ((i >= COMP_CWORD)); then
                _lingerclose_value "$option" "$word"
                return
            fi
            ;;
        *) break ;;
        esac
    done
    if ((i == COMP_CWORD)) && [[ $word == -* && ${COMP_WORDS[i - 1]} != -- ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags $valued" -- "$word")
    elif ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
        _command_offset "$i"
    elif ((i < COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
        if [[ $check && $word == [0-9]* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
        fi
    fi
}

complete -o bashdefault -F _lingerclose lingerclose
