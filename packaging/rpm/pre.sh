# shellcheck shell=sh
# rpm 4.19 and newer have made the user from sysusers.d by now; RHEL 9's has not, and its files need the group.
getent group mathesar >/dev/null || groupadd -r mathesar
getent passwd mathesar >/dev/null ||
    useradd -r -g mathesar -d /var/lib/mathesar -M -s /usr/sbin/nologin -c 'Mathesar service' mathesar
exit 0
