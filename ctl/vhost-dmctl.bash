# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2207
# vhost-dmctl.bash - completion for bash: commands, options, guests and devices that are there, keys of devices.

# bash takes '=' as a break between words. Puts the words before the cursor together again, less options, into
# "words" of the caller, the one at the cursor into "whole" and what of it is to be completed into "cur".
_vhost_dmctl_words() {
    local i word glue=''
    words=() whole=''
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ "$word" = = ] || [ -n "$glue" ]; then
            whole+=$word
        else
            [ $i = 1 ] || words+=("$whole")
            whole=$word
        fi
        glue=''
        [ "$word" != = ] || glue=1
    done
    [ "$cur" != = ] || cur=''
}

_vhost_dmctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} whole i words args=() dir=() options
    _vhost_dmctl_words
    for ((i = 0; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -s|--state-dir) dir=(--state-dir "${words[i + 1]-}"); i=$((i + 1));;
        -l|--level) i=$((i + 1));;
        -*) ;;
        *) args+=("${words[i]}");;
        esac
    done
    COMPREPLY=()
    case $prev in
    -l|--level) COMPREPLY=($(compgen -W 'error warning info debug trace' -- "$cur")); return;;
    -s|--state-dir) COMPREPLY=($(compgen -d -- "$cur")); return;;
    esac
    if [[ $cur == -* ]]; then
        options='--state-dir --help'
        case ${args[0]-} in
        list) options+=' --json --names';;
        regions) options+=' --json --map';;
        add) options+=' --json';;
        remove) options+=' --json --force --now';;
        trace) options+=' --json --level';;
        *) options+=' --version';;
        esac
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        return
    fi
    case ${#args[@]}:${args[0]-} in
    0:) COMPREPLY=($(compgen -W 'list regions add remove trace' -- "$cur"));;
    1:*) COMPREPLY=($(compgen -W "$(vhost-dmctl "${dir[@]}" list --names 2>/dev/null)" -- "$cur"));;
    2:remove) COMPREPLY=($(compgen -W "$(vhost-dmctl "${dir[@]}" list --names "${args[1]}" 2>/dev/null)" -- "$cur"));;
    2:add)
        case ${whole##*,} in
        socket=*) COMPREPLY=($(compgen -f -- "$cur"));;
        *=*) ;;
        *)
            i=''; [[ $cur != *,* ]] || i=${cur%,*},
            type compopt >/dev/null 2>&1 && compopt -o nospace 2>/dev/null
            COMPREPLY=($(compgen -P "$i" -W 'type= socket= tag= mac= mtu= cid= virtio-id= config-size= config= pci-class= slot= memory= queues= queue-size= bounce-pool= timeout= wait= placement= max-mappings= max-mapped= shmem-bit= shmem-ack=' -- "${cur##*,}"));;
        esac;;
    esac
}
complete -F _vhost_dmctl vhost-dmctl
