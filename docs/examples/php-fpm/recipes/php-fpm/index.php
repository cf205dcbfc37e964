<?php
header('Content-Type: text/plain; charset=utf-8');

$cache = function_exists('opcache_get_status') && opcache_get_status() ? 'on' : 'off';
echo 'PHP ', PHP_VERSION, ' says: ', mb_strtoupper('grüß Gott'), ", opcache $cache\n";
