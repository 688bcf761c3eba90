#!/bin/bash
# nginx in docker-compose.ops.yml: the shipped nginx.conf, with what watched.conf has for the console and `nginx-log`.
set -euo pipefail
rm -f /run/engine/nginx-status.sock # of an nginx that was killed
sed "s/PERCENT% 1;/${ENGINE_ACCESS_LOG_PERCENT:-0}% 1;/; /^ *0% 1;$/d" /etc/nginx/watched.conf >/run/engine/watched.conf
sed "s|^    access_log off;$|    include /run/engine/watched.conf;|" /etc/nginx/nginx.conf >/run/engine/nginx.conf
exec nginx -e stderr -c /run/engine/nginx.conf -g "daemon off;"
